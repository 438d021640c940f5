// Numbers and times as people read them.

/** A score: four decimals where that says enough, four digits elsewhere. */
export function score(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size >= 10) return value.toFixed(2);
  return size >= 0.001 || size === 0 ? value.toFixed(4) : value.toPrecision(3);
}

/** A setting of a configuration: of any type. */
export function setting(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(4)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A count: 12,345. */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

/** "1 trial", "3 trials". */
export function many(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Seconds as 42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return pair(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

function pair(large, unit, small, smaller) {
  return small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`;
}

/** Hours of devices. */
export function hours(value) {
  if (value === null || value === undefined) return "–";
  return value < 0.1 ? `${(value * 60).toFixed(value < 0.01 ? 2 : 1)} min` : `${value.toFixed(value < 10 ? 2 : 1)} h`;
}

/** How long ago a time was. */
export function ago(iso, now = Date.now()) {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

/** A time as 2026-11-21 14:05, in the reader's zone. */
export function moment(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return "–";
  const two = (number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

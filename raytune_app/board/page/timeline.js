// The timeline: which slot trained which trial, and where a slot was not training.

import { Chart, colour, stateColour, told } from "./chart.js";
import { fill, h } from "./dom.js";
import { duration, many, score } from "./format.js";

const LANE = 26;
const MOST = 64;

/** Stretches of work, one for each stint of a trial: [{ trial, began, begin, end, slot }], in seconds of the study. */
function works(study) {
  const found = [];
  for (const trial of study.trials.values()) {
    const begins = [{ at: trial.begun, epoch: 0 }, ...trial.stints];
    begins.forEach((stint, index) => {
      const next = begins[index + 1];
      const first = trial.epoch.findIndex((epoch) => epoch > stint.epoch);
      const until = next ? trial.epoch.findIndex((epoch) => epoch > next.epoch) : -1;
      const last = (until === -1 ? trial.epoch.length : until) - 1;
      if (first === -1 || last < first) return;
      const begin = Math.max(stint.at, trial.at[first] - trial.took[first]);
      found.push({ trial, began: stint.at, begin, end: trial.at[last], slot: trial.slot?.[last] ?? -1, first, last });
    });
  }
  return found.sort((one, other) => one.began - other.began);
}

/** Give each stretch a lane: its slot where the log names it, else the first lane that is free. */
function placed(study, found) {
  if (study.slots.length && found.every(({ slot }) => slot >= 0)) {
    const used = [...new Set(found.map(({ slot }) => slot))].sort((one, other) => one - other);
    const lane = new Map(used.map((slot, index) => [slot, index]));
    found.forEach((work) => { work.lane = lane.get(work.slot); });
    return used.map((slot) => `${study.slots[slot][0]} ${study.slots[slot][1]}`);
  }
  const free = [];
  for (const work of found) {
    let lane = free.findIndex((until) => until <= work.began + 0.05);
    if (lane === -1) lane = free.length;
    free[lane] = work.end;
    work.lane = lane;
  }
  return free.map((_, index) => `slot ${index + 1}`);
}

export class Timeline {
  constructor(open) {
    this.open = open;
    this.chart = new Chart();
    this.note = h("p", { class: "note" });
    this.waiting = h("div");
    this.element = h("div", {}, this.note, this.chart.element, this.waiting);
  }

  update(study) {
    const found = works(study);
    const names = placed(study, found);
    const known = study.slots.length > 0;
    const shown = names.slice(0, MOST);
    const ends = Math.max(1, ...found.map(({ end }) => end));
    const busy = found.reduce((sum, { begin, end }) => sum + end - begin, 0);
    this.note.textContent = (known ? "A lane is a process of a trial, by its machine and number. " : "This log does not say which process trained; lanes are put together from the times. ") +
      `Pale is the time before an epoch: starting, loading, reading a checkpoint. Trained ${Math.round((100 * busy) / (ends * Math.max(1, names.length)))} % of the lanes' time.` +
      (names.length > MOST ? ` The first ${MOST} of ${names.length} lanes are shown.` : "");
    this.chart.show({
      x: { min: 0, max: ends, title: "seconds since the study began" },
      y: { min: shown.length - 0.4, max: -0.6, bare: true, ticks: shown.map((name, index) => [index, name.length > 16 ? `…${name.slice(-15)}` : name]) },
      left: known ? 130 : 70,
      height: Math.max(150, 70 + shown.length * LANE),
      label: `timeline of ${many(found.length, "stint")} of ${many(study.trials.size, "trial")} in ${many(names.length, "lane")} over ${duration(ends)}`,
      paint: (context, X, Y) => paint(context, X, Y, found, study),
      find: (px, py, X, Y) => this.find(px, py, X, Y, found, study),
    });
    fill(this.waiting, waits(study));
  }

  find(px, py, X, Y, found, study) {
    const work = found.find((one) => Math.abs(Y(one.lane) - py) < LANE / 2 && X(one.began) <= px && px <= X(one.end) + 1);
    if (!work) return null;
    const { trial } = work;
    const metric = study.objective.metric;
    return {
      lines: [
        `trial ${trial.number}, epochs ${trial.epoch[work.first]} to ${trial.epoch[work.last]}: ${metric} ${score(trial.values[metric][work.last])}`,
        `trained ${duration(work.end - work.begin)}, ${duration(work.begin - work.began)} before that`,
        ...told(trial),
      ],
      paint: (context) => {
        context.strokeStyle = colour("ink");
        context.lineWidth = 2;
        context.strokeRect(X(work.began), Y(work.lane) - LANE / 2 + 3, Math.max(2, X(work.end) - X(work.began)), LANE - 6);
      },
      open: () => this.open(trial),
    };
  }
}

function paint(context, X, Y, found, study) {
  const top = LANE / 2 - 4;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "left";
  const lead = study.leader;
  for (const work of found) {
    const shade = work.trial === lead ? colour("win") : stateColour(work.trial.state);
    const y = Y(work.lane);
    context.fillStyle = shade;
    context.globalAlpha = 0.25;
    context.fillRect(X(work.began), y - top, X(work.begin) - X(work.began), 2 * top);
    context.globalAlpha = 0.85;
    context.fillRect(X(work.begin), y - top, Math.max(1, X(work.end) - X(work.begin) - 1), 2 * top);
    context.globalAlpha = 1;
    const name = String(work.trial.number);
    if (X(work.end) - X(work.begin) > name.length * 7 + 6) {
      context.fillStyle = colour("on-bar");
      context.fillText(name, X(work.begin) + 4, y + 0.5);
    }
  }
}

/** What waits for resources now, and why; the status of a study that runs has it. */
function waits(study) {
  const waiting = study.head.state === "running" ? study.head.status?.waiting ?? [] : [];
  if (!waiting.length) return null;
  return [h("h3", {}, "Waiting now"), h("ul", {}, waiting.map(({ trial, asked, why }) =>
    h("li", {}, trial === null || trial === undefined ? "the next trial" : `trial ${trial}`, " asks for ",
      Object.entries(asked ?? {}).map(([name, amount]) => `${amount} ${name}`).join(", ") || "nothing", why ? `: ${why}` : "")))];
}

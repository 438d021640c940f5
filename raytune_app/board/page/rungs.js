// Rungs: who came to each, with which score, and who went on.

import { Chart, colour, range, told } from "./chart.js";
import { fill, h, table } from "./dom.js";
import { count, score } from "./format.js";

const FATES = { on: "went on", out: "stopped there", waits: "waits there" };

/** [{ rung, entries: [{ trial, value, fate }], cutoff }], by rung; empty for a study without rungs. */
export function standings(study) {
  const metric = study.objective.metric;
  const sign = study.sign();
  const rungs = new Map();
  for (const trial of study.trials.values()) {
    for (const { rung, decision, index } of trial.rungs) {
      const value = trial.values[metric][index];
      const resumed = trial.stints.some((stint) => stint.epoch === rung && stint.reason !== "restarted");
      const on = decision === "continue" || trial.epoch.at(-1) > rung || resumed;
      const fate = on ? "on" : trial.state === "paused" && trial.epoch.at(-1) === rung ? "waits" : "out";
      if (!rungs.has(rung)) rungs.set(rung, []);
      rungs.get(rung).push({ trial, value, fate });
    }
  }
  const { reduction } = study.head.scheduler;
  return [...rungs.entries()].sort(([one], [other]) => one - other).map(([rung, entries]) => {
    const scores = entries.map(({ value }) => value).filter((value) => value !== null).sort((one, other) => sign * (other - one));
    const cutoff = scores.length ? scores[Math.max(1, Math.floor(entries.length / reduction)) - 1] : null;
    return { rung, entries, cutoff };
  });
}

export class Rungs {
  constructor(open) {
    this.open = open;
    this.chart = new Chart();
    this.note = h("p", { class: "note" });
    this.legend = h("ul", { class: "legend", "aria-label": "colours" });
    this.rows = h("div");
    this.element = h("div", {}, this.note, this.chart.element, this.legend, this.rows);
  }

  update(study) {
    const found = standings(study);
    const { name, reduction } = study.head.scheduler;
    this.note.textContent = `${name}: at each rung the best 1 in ${reduction} go on. The line is the cut-off among all that have come there by now; who came early was judged among fewer.`;
    const dots = found.flatMap((rung, place) => rung.entries.filter(({ value }) => value !== null).map((entry) =>
      ({ ...entry, rung, at: place + spread(entry.trial.number) })));
    const metric = study.objective.metric;
    this.chart.show({
      x: { min: -0.5, max: Math.max(0.5, found.length - 0.5), title: "rung", ticks: found.map(({ rung, entries }, place) => [place, `epoch ${rung} (${entries.length})`]) },
      y: { ...range(dots.map(({ value }) => value), { sign: study.sign() }), title: `validation ${metric}` },
      height: 380,
      label: `scores of the trials at each of ${found.length} rungs; the table below has the numbers`,
      paint: (context, X, Y) => paint(context, X, Y, found, dots),
      find: (px, py, X, Y, near) => this.find(px, py, X, Y, near, dots, metric),
    });
    fill(this.legend, Object.entries(FATES).filter(([fate]) => dots.some((dot) => dot.fate === fate)).map(([fate, title]) =>
      h("li", {}, h("i", { class: "dot", style: { background: shade(fate) } }), title)),
      h("li", {}, h("i", { style: { background: colour("ink") } }), "cut-off now"));
    fill(this.rows, table("rungs", ["after epoch", "reached", "went on", "waits", `best ${metric}`, "cut-off now"],
      found.map(({ rung, entries, cutoff }) => [String(rung), count(entries.length), ...["on", "waits"].map((fate) =>
        count(entries.filter((entry) => entry.fate === fate).length)), score(best(entries, study.sign())), score(cutoff)])));
  }

  find(px, py, X, Y, near, dots, metric) {
    let found = null;
    let distance = near / 2;
    for (const dot of dots) {
      const away = Math.hypot(X(dot.at) - px, Y(dot.value) - py);
      if (away < distance) [found, distance] = [dot, away];
    }
    if (!found) return null;
    const same = dots.filter(({ trial }) => trial === found.trial);
    return {
      lines: [`rung of epoch ${found.rung.rung}: ${metric} ${score(found.value)}, ${FATES[found.fate]}`, ...told(found.trial)],
      paint: (context) => {
        context.strokeStyle = context.fillStyle = colour("ink");
        context.lineWidth = 2;
        context.beginPath();
        same.forEach((dot) => context.lineTo(X(dot.at), Y(dot.value)));
        context.stroke();
        same.forEach((dot) => disc(context, X(dot.at), Y(dot.value), 6));
      },
      open: () => this.open(found.trial),
    };
  }
}

function paint(context, X, Y, found, dots) {
  const size = dots.length > 2000 ? 2 : dots.length > 300 ? 3 : 5;
  context.globalAlpha = dots.length > 2000 ? 0.5 : 0.85;
  for (const dot of dots) {
    context.fillStyle = shade(dot.fate);
    disc(context, X(dot.at), Y(dot.value), size);
  }
  context.globalAlpha = 1;
  context.strokeStyle = colour("ink");
  context.lineWidth = 2;
  found.forEach(({ cutoff }, place) => {
    if (cutoff === null) return;
    context.beginPath();
    context.moveTo(X(place - 0.42), Y(cutoff));
    context.lineTo(X(place + 0.42), Y(cutoff));
    context.stroke();
  });
}

function shade(fate) {
  return colour({ on: "accent", out: "state-stopped", waits: "state-interrupted" }[fate]);
}

function disc(context, x, y, size) {
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fill();
}

/** Dots of one rung stand beside each other, each always at the same place: in -0.35 to 0.35. */
function spread(number) {
  return ((number * 0.618034) % 1) * 0.7 - 0.35;
}

function best(entries, sign) {
  return entries.reduce((most, { value }) => (value !== null && (most === null || sign * value > sign * most) ? value : most), null);
}

// The lineage of a population: who trained on from whose state.

import { Chart, colour } from "./chart.js";
import { fill, h, table } from "./dom.js";
import { many, score, setting } from "./format.js";

/** A copy lands on its lane after this share of the stretch that it begins. */
const LANDING = 0.3;

/** Every stretch from one stint to the next: [{ trial, from, to, source, config changes }]. */
function stretches(study) {
  const found = [];
  for (const trial of study.trials.values()) {
    const begins = [{ epoch: 0, source: null, changes: {} }, ...trial.stints];
    begins.forEach((stint, index) => {
      const next = begins[index + 1];
      found.push({ trial, stint, from: stint.epoch, to: next ? next.epoch : trial.epoch.at(-1) ?? stint.epoch });
    });
  }
  return found;
}

/** Whether any trial went on from another's state. */
export function copies(study) {
  return study.all.flatMap((trial) => trial.stints.filter((stint) => stint.source !== null && stint.source !== trial.number));
}

/** The stretches that led to the best epoch of `trial`: it and its ancestors. */
function ancestry(all, trial) {
  const found = new Set();
  let [number, epoch] = [trial.number, trial.best_epoch];
  for (;;) {
    const stretch = all.findLast((one) => one.trial.number === number && one.from < epoch);
    if (!stretch || found.has(stretch)) return found;
    found.add(stretch);
    if (stretch.from === 0 || stretch.stint.source === null) return found;
    [number, epoch] = [stretch.stint.source, stretch.stint.source_epoch];
  }
}

export class Lineage {
  constructor(open) {
    this.open = open;
    this.chart = new Chart();
    this.note = h("p", { class: "note" });
    this.rows = h("details", {}, h("summary", {}, "All copies as a table"));
    this.element = h("div", {}, this.note, this.chart.element, this.rows);
  }

  update(study) {
    const all = stretches(study);
    const trials = study.all.sort((one, other) => one.number - other.number);
    const lane = new Map(trials.map((trial, index) => [trial.number, index]));
    const lead = study.leader;
    const line = lead ? ancestry(all, lead) : new Set();
    const made = copies(study);
    this.note.textContent = `${many(made.length, "copy").replace("copys", "copies")}: a curve leads from the state that was copied to the trial that went on with it.` +
      (lead ? ` Orange is the descent of trial ${lead.number}, the best.` : "");
    const last = Math.max(1, ...trials.map((trial) => trial.epoch.at(-1) ?? 0));
    this.chart.show({
      x: { min: 0, max: last, title: "epoch", whole: true },
      y: { min: trials.length - 0.4, max: -0.6, bare: true, ticks: trials.length > 60 ? [] : trials.map((trial, index) => [index, `trial ${trial.number}`]) },
      left: 70,
      height: Math.max(200, Math.min(900, 80 + trials.length * 34)),
      label: `lineage of ${trials.length} trials with ${made.length} copies` +
        (lead ? `; the best, trial ${lead.number}, descends from ${descent(line)}` : "") + "; the table below has every copy",
      paint: (context, X, Y) => paint(context, X, Y, all, lane, line),
      find: (px, py, X, Y, near) => this.find(px, py, X, Y, near, all, lane, study),
    });
    fill(this.rows, h("summary", {}, "All copies as a table"), table("copies", ["trial", "after epoch", "went on from", "with"], made.length
      ? study.all.flatMap((trial) => trial.stints.filter((stint) => stint.source !== null && stint.source !== trial.number).map((stint) =>
        [`trial ${trial.number}`, String(stint.epoch), `trial ${stint.source}, epoch ${stint.source_epoch}`, changed(stint.changes)])) : []));
  }

  find(px, py, X, Y, near, all, lane, study) {
    const hit = all.find((one) => Math.abs(Y(lane.get(one.trial.number)) - py) < near / 2 && X(one.from) <= px && px <= X(one.to));
    if (!hit) return null;
    const { trial, stint } = hit;
    const copied = stint.source !== null && stint.source !== trial.number;
    const line = ancestry(all, { number: trial.number, best_epoch: hit.to });
    const metric = study.objective.metric;
    const end = trial.epoch.lastIndexOf(hit.to);
    return {
      lines: [
        `trial ${trial.number}, epochs ${hit.from + 1} to ${hit.to}: ${metric} ${score(trial.values[metric][end] ?? null)}`,
        copied ? `from trial ${stint.source} after epoch ${stint.source_epoch}` : "from its own state",
        ...Object.entries(stint.changes).map(([path, value]) => `${path} = ${setting(value)}`),
      ],
      paint: (context) => paint(context, X, Y, [...line], lane, line, colour("ink")),
      open: () => this.open(trial),
    };
  }
}

function paint(context, X, Y, all, lane, line, special = colour("win")) {
  const ordered = [...all].sort((one, other) => line.has(one) - line.has(other));
  for (const one of ordered) {
    const y = Y(lane.get(one.trial.number));
    const { source, source_epoch: epoch } = one.stint;
    const copied = source !== null && source !== one.trial.number && lane.has(source);
    const begin = copied ? X(one.from) + Math.min(40, (X(one.to) - X(one.from)) * LANDING) : X(one.from);
    context.strokeStyle = context.fillStyle = line.has(one) ? special : colour("state-stopped");
    context.lineWidth = line.has(one) ? 3.5 : 1.8;
    context.beginPath();
    if (copied) {
      const from = Y(lane.get(source));
      const middle = (X(epoch) + begin) / 2;
      context.moveTo(X(epoch), from);
      context.bezierCurveTo(middle, from, middle, y, begin, y);
    }
    context.moveTo(begin, y);
    context.lineTo(X(one.to), y);
    context.stroke();
    for (const x of [begin, X(one.to)]) {
      context.beginPath();
      context.arc(x, y, line.has(one) ? 4.5 : 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function descent(line) {
  return [...new Set([...line].reverse().map((one) => `trial ${one.trial.number}`))].join(", ");
}

function changed(changes) {
  return Object.entries(changes).map(([path, value]) => `${path} = ${setting(value)}`).join(", ") || "the same values";
}

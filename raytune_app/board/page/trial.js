// A trial's own page: its curve, its settings, its stints, what it printed, what went wrong.

import { Chart, colour, range } from "./chart.js";
import { choice, facts, fill, h, table } from "./dom.js";
import { count, duration, many, score, setting } from "./format.js";

const NOT_METRICS = new Set(["epoch", "diverged", "finished", "decision", "rung", "host", "pid", "parameters"]);

export class TrialPage {
  constructor(source, study, number) {
    Object.assign(this, { source, study, number });
    this.asked = this.answered = 0;
    this.chart = new Chart();
    this.controls = h("div", { class: "controls" });
    this.legend = h("ul", { class: "legend", "aria-label": "colours" });
    this.facts = h("div");
    this.rest = h("div");
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.element = h("article", {},
      h("nav", { "aria-label": "back" }, h("a", { href: `#/study/${encodeURIComponent(study.head.id)}` }, "← ", study.head.id)),
      h("h1", { tabindex: -1 }, `Trial ${number}`), this.facts, this.wrong,
      h("section", { class: "card", "aria-label": "curves" }, this.controls, this.chart.element, this.legend), this.rest);
    this.update(study);
  }

  update(study) {
    this.study = study;
    const trial = study.trials.get(this.number);
    if (!trial) {
      this.wrong.textContent = `The study has no trial ${this.number}.`;
      return;
    }
    if (this.seen === trial) return;
    this.seen = trial;
    this.about(trial);
    this.load();
  }

  async load() {
    const turn = (this.asked += 1);
    try {
      const detail = await this.source.trial(this.study.head.id, this.number);
      if (turn < this.answered) return; // a later answer was quicker
      this.answered = turn;
      this.detail = detail;
      this.show();
    } catch (error) {
      if (turn < this.answered) return;
      this.wrong.textContent = [error.message, error.remedy].filter(Boolean).join(" – ");
      this.detail = null;
      this.draw(this.seen.epoch.map((epoch, index) => ({ epoch, ...Object.fromEntries(Object.entries(this.seen.values).map(([name, values]) => [name, values[index]])) })));
    }
  }

  about(trial) {
    const { head } = this.study;
    const rank = this.study.ranked.indexOf(trial);
    fill(this.facts, h("section", { class: "card" },
      h("p", {}, h("span", { class: `state ${trial.state}` }, trial.state),
        trial.role === "search" ? null : ` ${trial.role}${trial.of === null ? "" : ` of trial ${trial.of}`}`,
        rank >= 0 ? ` rank ${rank + 1} of ${count(this.study.ranked.length)}` : ""),
      facts([
        [`best ${head.objectives[0].metric}`, score(trial.best), trial.best_epoch ? `after epoch ${trial.best_epoch}` : null],
        ["epochs", `${trial.epoch.at(-1) ?? 0} of ${head.epochs_per_trial}`],
        ["trained", duration(trial.train_s)],
        trial.parameters ? ["parameters", count(trial.parameters)] : null,
        trial.faults ? ["crashes survived", count(trial.faults)] : null,
      ]),
      facts(Object.entries(trial.config).map(([path, value]) => [path, setting(value)]))));
  }

  show() {
    const { detail } = this;
    this.wrong.textContent = "";
    this.draw(detail.epochs);
    fill(this.rest, detail.error ? h("section", { class: "card" }, h("h2", {}, "Error"), h("pre", { class: "wrong" }, detail.error)) : null,
      stints(detail), output(detail),
      h("section", { class: "card" }, h("h2", {}, "Epochs"), epochTable(detail)),
      detail.checkpoints.length ? h("section", { class: "card" }, h("h2", {}, "Checkpoints"),
        table("checkpoints", ["epoch", "folder", "MB"], detail.checkpoints.map(({ epoch, path, mb }) => [String(epoch), h("code", {}, path), score(mb)]))) : null);
  }

  draw(rows) {
    this.rows = rows;
    const names = numeric(rows);
    this.metric = names.includes(this.metric) ? this.metric : this.study.objective.metric;
    if (this.controls.dataset.names !== names.join()) {
      this.controls.dataset.names = names.join();
      fill(this.controls, choice("metric", names.map((name) => [name, name]), this.metric, (metric) => { this.metric = metric; this.draw(this.rows); }));
    }
    const shown = [this.metric, `train_${this.metric}`].filter((name) => names.includes(name));
    const points = shown.map((name, index) => ({ name, shade: colour(index ? "soft" : "accent"), rows: rows.filter((row) => Number.isFinite(row[name])) }));
    fill(this.legend, points.map(({ name, shade }) => h("li", {}, h("i", { style: { background: shade } }), name)));
    this.chart.show({
      x: { min: Math.min(1, rows.length - 1), max: Math.max(1, rows.at(-1)?.epoch ?? 1), title: "epoch", whole: true },
      y: { ...range(points.flatMap((line) => line.rows.map((row) => row[line.name]))), title: shown.join(", ") },
      height: 280,
      label: `${this.metric} by epoch of trial ${this.number}; the table of epochs has the numbers`,
      paint: (context, X, Y) => points.forEach((line) => stroke(context, X, Y, line)),
      find: (px, py, X) => {
        const row = rows.find((one) => Math.abs(X(one.epoch) - px) < 12);
        return row ? { lines: [`epoch ${row.epoch}`, ...shown.map((name) => `${name} ${score(row[name])}`)] } : null;
      },
    });
  }
}

function stroke(context, X, Y, { name, shade, rows }) {
  context.strokeStyle = context.fillStyle = shade;
  context.lineWidth = 2;
  context.beginPath();
  rows.forEach((row) => context.lineTo(X(row.epoch), Y(row[name])));
  context.stroke();
  for (const row of rows) {
    context.beginPath();
    context.arc(X(row.epoch), Y(row[name]), 3.5, 0, 2 * Math.PI);
    context.fill();
  }
}

function numeric(rows) {
  const names = new Set(rows.flatMap((row) => Object.keys(row).filter((name) => typeof row[name] === "number")));
  return [...names].filter((name) => !NOT_METRICS.has(name));
}

function epochTable({ epochs }) {
  const names = numeric(epochs);
  return table("epochs", ["epoch", ...names, "decision"], epochs.map((row) =>
    [String(row.epoch), ...names.map((name) => score(row[name] ?? null)), row.rung ? `${row.decision} at rung ${row.rung}` : "–"]));
}

function stints({ stints: rows }) {
  if (rows.length < 2) return null;
  const paths = Object.keys(rows[0].config).filter((path) => rows.some(({ config }) => config[path] !== rows[0].config[path]));
  return h("section", { class: "card" }, h("h2", {}, many(rows.length, "stint")),
    h("p", { class: "note" }, "A stint begins from a checkpoint: the trial's own, or one that it copied."),
    table("stints", ["after epoch", "why", "from", "at", ...paths], rows.map((stint) => [String(stint.epoch), stint.reason,
      stint.source === null ? "a fresh start" : `trial ${stint.source}, epoch ${stint.source_epoch}`, duration(stint.at), ...paths.map((path) => setting(stint.config[path]))])));
}

function output({ output: parts }) {
  if (!parts.length) return null;
  return h("section", { class: "card" }, h("h2", {}, "Output"), h("p", { class: "note" }, "What its own code printed."),
    parts.map(({ epoch, text }) => h("div", {}, h("h3", {}, `epoch ${epoch}`), h("pre", { tabindex: 0 }, text))));
}

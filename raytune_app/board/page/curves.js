// Learning curves: a line a trial.

import { Chart, colour, range, stateColour, told } from "./chart.js";
import { choice, fill, h, tick } from "./dom.js";
import { score } from "./format.js";

const MANY = 400;
const FAINTEST = 0.06;

export class Curves {
  /** `open(trial)` is called for a curve that is clicked. */
  constructor(open) {
    this.open = open;
    this.chart = new Chart();
    this.chosen = new Set();
    this.log = false;
    this.by = "epoch";
    this.controls = h("div", { class: "controls" });
    this.legend = h("ul", { class: "legend", "aria-label": "colours" });
    this.element = h("div", {}, this.controls, this.chart.element, this.legend);
  }

  update(study) {
    if (!this.study) {
      this.metric = study.objective.metric;
      fill(this.controls,
        choice("metric", study.head.metrics.map((metric) => [metric, metric]), this.metric, (metric) => this.set({ metric })),
        choice("by", [["epoch", "epoch"], ["time", "time"]], this.by, (by) => this.set({ by })),
        tick("logarithmic", this.log, (log) => this.set({ log })));
    }
    this.study = study;
    this.draw();
  }

  /** Bring these trials, by number, to the front. */
  choose(numbers) {
    this.chosen = new Set(numbers);
    this.draw();
  }

  /** Mark one trial, as if its curve were pointed at; null for none. */
  glance(number) {
    const trial = number === null ? null : this.study.trials.get(number);
    this.chart.mark(trial ? (context, X, Y) => this.stroke(context, X, Y, trial, colour("ink"), 3) : null);
  }

  set(change) {
    Object.assign(this, change);
    this.draw();
  }

  draw() {
    const { study, metric, log } = this;
    const trials = study.all.filter((trial) => trial.epochs);
    const values = trials.flatMap((trial) => trial.values[metric]);
    const last = trials.reduce((most, trial) => Math.max(most, this.places(trial).at(-1)), 1);
    const lead = study.leader;
    this.chart.show({
      x: { min: this.by === "epoch" ? Math.min(1, last - 1) : 0, max: last, title: this.by === "epoch" ? "epoch" : "seconds since the study began", whole: true },
      y: { ...range(values, { log, sign: study.sign(metric) }), title: `validation ${metric}`, log },
      label: `validation ${metric} by ${this.by}, a line for each of ${trials.length} trials` +
        (lead ? `; the best is trial ${lead.number} with ${score(lead.best)}` : ""),
      paint: (context, X, Y) => this.paint(context, X, Y, trials, lead),
      find: (px, py, X, Y, near) => this.find(px, py, X, Y, near, trials),
    });
    const states = [...new Set(trials.map((trial) => trial.state))];
    fill(this.legend,
      lead ? h("li", {}, h("i", { style: { background: colour("win") } }), study.head.winner && study.head.state !== "running" ? "winner" : "best so far") : null,
      states.map((state) => h("li", {}, h("i", { style: { background: stateColour(state) } }), state)));
  }

  places(trial) {
    return this.by === "epoch" ? trial.epoch : trial.at;
  }

  paint(context, X, Y, trials, lead) {
    const dense = trials.length > MANY;
    const faded = this.chosen.size > 0;
    for (const trial of trials) {
      context.globalAlpha = Math.max(FAINTEST, Math.min(faded ? 0.15 : 0.85, MANY / 2 / trials.length));
      this.stroke(context, X, Y, trial, stateColour(trial.state), dense ? 0.8 : 1.5, !dense);
    }
    context.globalAlpha = 1;
    for (const number of this.chosen) {
      const trial = this.study.trials.get(number);
      if (trial) this.stroke(context, X, Y, trial, colour("accent"), 2.5, true);
    }
    if (lead) this.stroke(context, X, Y, lead, colour("win"), 3, true);
  }

  stroke(context, X, Y, trial, shade, width, dots = false) {
    const places = this.places(trial);
    const values = trial.values[this.metric];
    context.strokeStyle = context.fillStyle = shade;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.beginPath();
    let drawn = false;
    values.forEach((value, index) => {
      const isShown = this.isShown(value);
      if (isShown && drawn) context.lineTo(X(places[index]), Y(value));
      else if (isShown) context.moveTo(X(places[index]), Y(value));
      drawn = isShown;
    });
    context.stroke();
    if (!dots && values.length > 1) return;
    values.forEach((value, index) => {
      if (!this.isShown(value)) return;
      context.beginPath();
      context.arc(X(places[index]), Y(value), width + 1, 0, 2 * Math.PI);
      context.fill();
    });
  }

  isShown(value) {
    return value !== null && (!this.log || value > 0);
  }

  find(px, py, X, Y, near, trials) {
    let best = null;
    let distance = near;
    for (const trial of trials) {
      const places = this.places(trial);
      trial.values[this.metric].forEach((value, index) => {
        if (!this.isShown(value) || Math.abs(X(places[index]) - px) >= distance) return;
        const away = Math.hypot(X(places[index]) - px, Y(value) - py);
        if (away < distance) [best, distance] = [{ trial, index, value }, away];
      });
    }
    if (!best) return null;
    const { trial, index, value } = best;
    return {
      lines: [`epoch ${trial.epoch[index]}: ${this.metric} ${score(value)}`, ...told(trial)],
      paint: (context) => this.stroke(context, X, Y, trial, colour("ink"), 3, true),
      open: () => this.open(trial),
    };
  }
}

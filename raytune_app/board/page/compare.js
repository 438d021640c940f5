// Several studies side by side: how quickly each found how good a trial, and with which settings.

import { Chart, colour, range } from "./chart.js";
import { choice, fill, h, table } from "./dom.js";
import { count, duration, hours, score, setting } from "./format.js";

export class ComparePage {
  constructor(source, studies) {
    Object.assign(this, { source, studies });
    this.by = "epochs";
    this.chart = new Chart();
    this.legend = h("ul", { class: "legend", "aria-label": "colours" });
    this.note = h("p", { class: "wrong" });
    this.rows = h("div");
    this.element = h("article", {},
      h("nav", { "aria-label": "back" }, h("a", { href: "#/" }, "← all studies")),
      h("h1", { tabindex: -1 }, `${studies.length} studies compared`), this.note,
      h("section", { class: "card", "aria-labelledby": "best" }, h("h2", { id: "best" }, "Best so far"),
        h("div", { class: "controls" }, choice("by", [["epochs", "epochs trained"], ["at", "wall time"]], this.by, (by) => { this.by = by; this.draw(); })),
        this.chart.element, this.legend),
      this.rows);
    this.update();
  }

  update() {
    const metrics = new Set(this.studies.map((study) => study.objective.metric));
    this.metric = this.studies[0].objective.metric;
    this.alike = this.studies.filter((study) => study.objective.metric === this.metric);
    this.note.textContent = metrics.size > 1 ? `Their objectives differ (${[...metrics].join(", ")}); the plot has those of ${this.metric}.` : "";
    this.draw();
    fill(this.rows, this.values(), this.configs(), this.specs());
  }

  draw() {
    const lines = this.alike.map((study) => ({ study, record: study.record, shade: colour(`line-${this.studies.indexOf(study) % 8}`) }));
    const all = lines.flatMap(({ record }) => record);
    const { by } = this;
    this.chart.show({
      x: { min: 0, max: Math.max(1, ...all.map((entry) => entry[by])), title: by === "at" ? "seconds since the study began" : "epochs trained, over all trials", whole: by !== "at" },
      y: { ...range(heights(lines, by)), title: `best ${this.metric} so far` },
      label: `best ${this.metric} so far of ${lines.length} studies: ` + lines.map(({ study, record }) => `${study.head.id} ${score(record.at(-1)?.best ?? null)}`).join(", "),
      paint: (context, X, Y) => lines.forEach(({ record, shade }) => stairs(context, X, Y, record, by, shade)),
      find: (px, py, X, Y, near) => {
        const close = lines.flatMap((line) => line.record.map((entry) => ({ ...line, entry, away: Math.hypot(X(entry[by]) - px, Y(entry.best) - py) }))).sort((one, other) => one.away - other.away)[0];
        return close && close.away < near ? { lines: [close.study.head.id, `trial ${close.entry.trial}: ${score(close.entry.best)}`, `after ${count(close.entry.epochs)} epochs, ${duration(close.entry.at)}`] } : null;
      },
    });
    fill(this.legend, lines.map(({ study, shade }) => h("li", {}, h("i", { style: { background: shade } }), study.head.id)));
  }

  values() {
    return h("section", { class: "card", "aria-labelledby": "values" }, h("h2", { id: "values" }, "What came of them"),
      table("what came of them", ["study", "state", "best", "sealed test", "trials", "epochs", "wall time", "device time"], this.studies.map((study) => {
        const { head } = study;
        const used = Object.fromEntries(head.budget.map(({ name, used: value }) => [name, value]));
        const test = head.winner?.test?.[study.objective.metric];
        return [h("a", { href: `#/study/${encodeURIComponent(head.id)}` }, head.id), head.state, `${score(study.leader?.best ?? null)} ${study.objective.metric}`,
          test === undefined ? "–" : score(test), count(study.trials.size), count(used.epochs), duration(used.wall_s), hours(used.device_hours)];
      })));
  }

  configs() {
    const configs = this.studies.map((study) => study.leader?.config ?? {});
    return this.beside("The best trial's settings", [...new Set(configs.flatMap(Object.keys))], configs);
  }

  specs() {
    const specs = this.studies.map((study) => flat(study.head.settings));
    const differs = (path) => new Set(specs.map((spec) => JSON.stringify(spec[path]))).size > 1;
    return this.beside("Where the experiment files differ", [...new Set(specs.flatMap(Object.keys))].filter(differs), specs);
  }

  beside(title, paths, columns) {
    const headings = ["setting", ...this.studies.map((study) => study.head.id)];
    return h("section", { class: "card" }, h("h2", {}, title), paths.length
      ? table(title, headings, paths.map((path) => [path, ...columns.map((column) => setting(column[path]))]), { left: true })
      : h("p", { class: "soft" }, "Nowhere."));
  }
}

/** The heights to show: a first epoch far below all that came after it would hide the rest. */
function heights(lines, by) {
  return lines.flatMap(({ record }) => {
    const late = record.filter((entry) => entry[by] > 0.08 * record.at(-1)[by]);
    return (late.length > 1 ? late : record).map(({ best }) => best);
  });
}

function stairs(context, X, Y, record, by, shade) {
  context.strokeStyle = context.fillStyle = shade;
  context.lineWidth = 2.5;
  context.beginPath();
  record.forEach((entry, index) => {
    if (index) context.lineTo(X(entry[by]), Y(record[index - 1].best));
    context.lineTo(X(entry[by]), Y(entry.best));
  });
  context.stroke();
  record.slice(0, -1).forEach((entry) => {
    context.beginPath();
    context.arc(X(entry[by]), Y(entry.best), 3.5, 0, 2 * Math.PI);
    context.fill();
  });
}

/** The leaves of an experiment by their paths; a list is a leaf. */
function flat(value, path = "", found = {}) {
  for (const [name, part] of Object.entries(value)) {
    const here = path ? `${path}.${name}` : name;
    if (part !== null && typeof part === "object" && !Array.isArray(part)) flat(part, here, found);
    else found[here] = part;
  }
  return found;
}

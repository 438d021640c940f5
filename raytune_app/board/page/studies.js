// The page of all studies: the newest first; several can be chosen and compared.

import { fill, h } from "./dom.js";
import { ago, hours, many, moment, score } from "./format.js";
import { Table } from "./table.js";

const LOOK_MS = 3000;

export class StudiesPage {
  constructor(source) {
    this.source = source;
    this.chosen = new Set();
    this.about = h("p", { class: "soft" });
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.compare = h("button", { type: "button", on: { click: () => this.go() } }, "Compare");
    const open = (row) => { location.hash = `#/study/${encodeURIComponent(row.study)}`; };
    this.table = new Table("studies", this.columns(), { id: ({ study }) => study, open, marked: () => false, sort: { key: "created", way: "down" }, hint: "filter: running mnist" });
    this.element = h("article", {}, h("h1", { tabindex: -1 }, "Studies"), this.about, this.wrong,
      h("section", { class: "card", "aria-label": "studies" }, this.table.element, h("div", { class: "controls" }, this.compare)));
    this.count();
    this.look();
    this.timer = setInterval(() => document.hidden || this.look(), LOOK_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  async look() {
    try {
      const { storage, studies } = await this.source.studies();
      const seen = JSON.stringify(studies);
      this.about.textContent = `${many(studies.length, "study").replace("studys", "studies")} in ${storage}`;
      this.wrong.textContent = "";
      if (seen !== this.seen) this.table.update(studies);
      this.seen = seen;
    } catch (error) {
      this.wrong.textContent = [error.message, error.remedy].filter(Boolean).join(" ");
    }
  }

  columns() {
    const total = (row) => Object.values(row.trials).reduce((sum, count) => sum + count, 0);
    return [
      { key: "study", title: "study", text: true, value: ({ study }) => study, show: (row) =>
        [this.box(row), " ", h("a", { href: `#/study/${encodeURIComponent(row.study)}` }, row.study)] },
      { key: "state", title: "state", text: true, value: ({ state }) => state, show: ({ state, reason, job }) =>
        h("span", { class: `state ${state}`, title: reason }, state === "queued" ? `queued, ${job?.ahead ?? 0} before it` : state) },
      { key: "score", title: "best", first: "down", value: (row) => row.score, show: (row) =>
        row.score === null ? "–" : [score(row.score), " ", h("small", { class: "soft" }, row.metric)] },
      { key: "trials", title: "trials", first: "down", value: total, show: (row) =>
        [String(total(row)), row.running ? h("small", { class: "soft" }, ` ${row.running} running`) : null, row.failed ? h("small", { class: "bad" }, ` ${row.failed} failed`) : null] },
      { key: "device", title: "device time", first: "down", value: (row) => row.device_hours, show: (row) => hours(row.device_hours) },
      { key: "created", title: "age", first: "down", value: (row) => row.created, show: (row) => h("span", { title: moment(row.created) }, ago(row.created)) },
    ];
  }

  box({ study }) {
    return h("input", {
      type: "checkbox", "aria-label": `choose ${study} to compare`, checked: this.chosen.has(study),
      on: { change: (event) => { this.chosen[event.target.checked ? "add" : "delete"](study); this.count(); } },
    });
  }

  count() {
    this.compare.disabled = this.chosen.size < 2;
    fill(this.compare, this.chosen.size < 2 ? "Choose two or more to compare" : `Compare ${this.chosen.size} studies`);
  }

  go() {
    location.hash = `#/compare/${[...this.chosen].map(encodeURIComponent).join("/")}`;
  }
}

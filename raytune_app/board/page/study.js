// A study's page: how it is, who leads or won, its plots, its trials.

import { Curves } from "./curves.js";
import { announce, facts, fill, h } from "./dom.js";
import { Figure } from "./figures.js";
import { ago, count, duration, hours, many, moment, score, setting } from "./format.js";
import { copies, Lineage } from "./lineage.js";
import { Rungs } from "./rungs.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";
import { testPart, winnerCard } from "./winner.js";

const OWN = {
  curves: ["Learning curves", Curves, () => true],
  rungs: ["Rungs", Rungs, (study) => study.head.scheduler.reduction && study.all.some(({ rungs }) => rungs.length)],
  lineage: ["Lineage", Lineage, (study) => copies(study).length > 0],
  timeline: ["Timeline", Timeline, () => true],
};
/** What plotly would draw once more. */
const DRAWN_HERE = new Set(["curves", "timeline"]);

export class StudyPage {
  constructor(source, study, tab = "curves") {
    Object.assign(this, { source, study, wanted: tab });
    this.panels = {};
    this.open = (trial) => { location.hash = `#/study/${encodeURIComponent(this.study.head.id)}/trial/${trial.number}`; };
    this.title = h("h1", { tabindex: -1 }, study.head.id);
    this.header = h("div");
    this.card = h("div");
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "plots", on: { keydown: (event) => this.step(event) } });
    this.panel = h("div", { role: "tabpanel", id: "plot", tabindex: -1 });
    this.titles = {};
    this.chosen = new Set();
    this.table = new Table("trials", [], {
      id: ({ number }) => number, open: this.open, marked: (trial) => trial === this.study.leader,
      glance: (trial) => this.shown === "curves" && this.panels.curves?.glance(trial ? trial.number : null),
      sort: { key: "best", way: study.sign() > 0 ? "down" : "up" }, hint: "filter: stopped lr<0.01",
    });
    this.after = h("div");
    this.element = h("article", {},
      source.isFrozen ? null : h("nav", { "aria-label": "back" }, h("a", { href: "#/" }, "← all studies")),
      this.title, this.header, this.card,
      h("section", { class: "card", "aria-label": "plots" }, this.tabs, this.panel),
      h("section", { class: "card", "aria-labelledby": "trials" }, h("h2", { id: "trials" }, "Trials"), this.table.element),
      this.after);
    this.update(study);
  }

  update(study) {
    this.say(study);
    this.study = study;
    const told = h("div", {}, header(study, this.source.note));
    if (!told.isEqualNode(this.header)) fill(this.header, [...told.childNodes]);
    const card = JSON.stringify([study.head.winner, study.leader?.number, study.leader?.best, study.head.state]);
    if (card !== this.carded) fill(this.card, winnerCard(study, this.open));
    const before = this.shown;
    this.offer();
    if (this.shown === before) this.panels[before].update(study);
    this.fetchFigures();
    this.table.update(study.all, columns(study, this.chosen, () => this.panels.curves?.choose(this.chosen)));
    if (card !== this.carded) fill(this.after, testPart(study), about(study));
    this.carded = card;
  }

  close() {
    for (const panel of Object.values(this.panels)) panel.close?.();
  }

  /** Tell of a new best, to those who listen. */
  say(study) {
    const lead = study.leader;
    if (lead && this.best !== undefined && lead.best !== this.best && study.head.state === "running") {
      announce(`New best: trial ${lead.number}, ${study.objective.metric} ${score(lead.best)} after epoch ${lead.best_epoch}`);
    }
    this.best = lead?.best ?? null;
  }

  /** Which figures there are depends on how many trials have ended. */
  async fetchFigures() {
    const ended = this.study.all.filter(({ state }) => state !== "running").length;
    if (this.ended === ended) return;
    this.ended = ended;
    try {
      this.figures = await this.source.figures(this.study.head.id);
    } catch {
      this.figures ??= {};
    }
    this.offer();
  }

  /** Put up the tabs that there are by now, and show the one that was asked for as soon as it is there. */
  offer() {
    const own = Object.entries(OWN).filter(([, [, , fits]]) => fits(this.study)).map(([name, [title]]) => [name, title]);
    const drawn = Object.entries(this.figures ?? {}).filter(([name]) => !DRAWN_HERE.has(name));
    const titles = Object.fromEntries([...own, ...drawn]);
    const isSame = Object.keys(titles).join() === Object.keys(this.titles).join();
    this.titles = titles;
    if (!isSame) {
      const focused = this.tabs.contains(document.activeElement);
      fill(this.tabs, Object.entries(titles).map(([name, title]) => h("button", {
        type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "plot", on: { click: () => this.choose(name) },
      }, title)));
      if (focused) document.getElementById(`tab-${this.shown}`)?.focus();
    }
    const next = [this.wanted, this.shown, "curves"].find((name) => titles[name]);
    if (next === this.wanted) this.wanted = null;
    if (!isSame || next !== this.shown) this.show(next);
  }

  /** Show what a person has asked for, and let the address say so. */
  choose(name) {
    this.wanted = null;
    this.show(name);
    const here = `#/study/${encodeURIComponent(this.study.head.id)}${name === "curves" ? "" : `/${name}`}`;
    if (location.hash) history.replaceState(null, "", here);
  }

  show(name) {
    for (const tab of this.tabs.children) {
      const isShown = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", isShown);
      tab.tabIndex = isShown ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${name}`);
    if (!this.panels[name]) {
      const Own = OWN[name]?.[1];
      this.panels[name] = Own ? new Own(this.open) : new Figure(this.source, this.study.head.id, name);
    }
    if (this.shown !== name) {
      fill(this.panel, this.panels[name].element);
      this.shown = name;
      this.panels[name].update(this.study);
    }
  }

  step(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(this.titles);
    this.choose(names[(names.indexOf(this.shown) + step + names.length) % names.length]);
    document.getElementById(`tab-${this.shown}`).focus();
  }
}

function header(study, note) {
  const { head } = study;
  const [done, all] = head.progress;
  const counts = Object.entries(study.counts).map(([state, number]) => `${number.toLocaleString("en")} ${state}`).join(", ");
  const state = head.lost ? "stale" : head.state;
  return [
    h("p", { class: "soft" }, h("span", { class: `state ${state}` }, state), ` ${head.subject} · ${head.search} search, ${head.scheduler.name}`,
      head.reason ? ` · ended by ${head.reason}` : "", ` · seed ${head.seed} · started ${moment(head.created)}, ${ago(head.created)}`),
    head.lost ? h("p", { class: "wrong" }, `Its driver is gone. To go on: raytune resume ${head.id}`) : null,
    head.state === "queued" ? h("p", {}, `It waits for its turn: ${many(head.job?.ahead ?? 0, "study").replace("studys", "studies")} before it.`) : null,
    note ? h("p", { class: "note" }, note) : null,
    h("div", { class: "card" },
      facts([
        ["trials", `${count(study.trials.size)}${study.trials.size < head.planned ? ` of ${count(head.planned)}` : ""}`, counts],
        ...head.budget.map(budget),
        head.checkpoints_mb ? ["checkpoints", `${head.checkpoints_mb.toFixed(1)} MB`] : null,
      ]),
      all && head.state === "running" ? h("progress", { max: all, value: done, "aria-label": `${done} of ${all} epochs settled` }) : null),
  ];
}

function budget({ name, used, limit }) {
  const show = { epochs: count, wall_s: duration, device_hours: hours }[name];
  const title = { epochs: "epochs trained", wall_s: "wall time", device_hours: "device time" }[name];
  return [title, show(used), limit === null ? null : `of ${show(limit)}, ${Math.round((100 * used) / limit)} %`];
}

function columns(study, chosen, onChosen) {
  const { head } = study;
  const metric = head.objectives[0].metric;
  const down = study.sign() > 0 ? "down" : "up";
  const others = head.objectives.slice(1).map((objective) => ({
    key: objective.metric, title: objective.metric, first: objective.mode === "max" ? "down" : "up",
    value: (trial) => trial.values[objective.metric]?.[trial.epoch.indexOf(trial.best_epoch)] ?? null,
    show: (trial) => score(trial.values[objective.metric]?.[trial.epoch.indexOf(trial.best_epoch)] ?? null),
  }));
  const mark = (trial) => h("input", {
    type: "checkbox", "aria-label": `mark trial ${trial.number} in the curves`, checked: chosen.has(trial.number),
    on: { change: (event) => { chosen[event.target.checked ? "add" : "delete"](trial.number); onChosen(); } },
  });
  const roles = study.all.some(({ role }) => role !== "search");
  return [
    { key: "number", title: "trial", value: ({ number }) => number, show: (trial) =>
      [mark(trial), " ", h("a", { href: `#/study/${encodeURIComponent(head.id)}/trial/${trial.number}` }, String(trial.number))] },
    { key: "state", title: "state", text: true, value: ({ state }) => state, show: ({ state, error }) => h("span", { class: `state ${state}`, title: error }, state) },
    roles ? { key: "role", title: "role", text: true, value: ({ role }) => role } : null,
    { key: "best", title: `best ${metric}`, first: down, value: ({ best }) => best, show: ({ best }) => score(best) },
    ...others,
    { key: "epoch", title: "at epoch", value: (trial) => trial.best_epoch },
    { key: "epochs", title: "epochs", first: "down", value: ({ epoch }) => epoch.at(-1) ?? 0 },
    { key: "trained", title: "trained", first: "down", value: (trial) => trial.train_s, show: (trial) => duration(trial.train_s) },
    ...study.paths.map((path) => ({ key: path, title: path, text: study.all.some(({ config }) => typeof config[path] === "string"),
      value: ({ config }) => config[path] ?? null, show: ({ config }) => setting(config[path]) })),
  ].filter(Boolean);
}

function about({ head }) {
  const versions = Object.entries(head.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return h("details", { class: "card" }, h("summary", {}, "Experiment: resolved file, versions, fingerprints"),
    h("pre", { tabindex: 0 }, head.spec),
    h("p", { class: "soft" }, versions, h("br"), "data ", h("code", {}, head.fingerprints.data ?? "–"), h("br"), "code ", h("code", {}, head.fingerprints.code ?? "–"),
      head.speed ? [h("br"), "speed ", h("code", {}, setting(head.speed))] : null));
}

// Figures that plotly draws, and the server makes; plotly is loaded when the first one is opened.

import { colour } from "./chart.js";
import { choice, fill, h } from "./dom.js";

const HEIGHT = 520;

export class Figure {
  constructor(source, id, name) {
    Object.assign(this, { source, id, name });
    this.chosen = {};
    this.asked = {};
    this.turn = this.answered = 0;
    this.closing = new AbortController();
    this.controls = h("div", { class: "controls" });
    this.said = h("p", { class: "note" });
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.place = h("div", { class: "figure" });
    this.element = h("div", {}, this.controls, this.wrong, this.place, this.said);
  }

  /** Listen no longer. */
  close() {
    this.closing.abort();
  }

  async update(study) {
    const ended = study.all.filter((trial) => trial.state !== "running").length;
    if (this.ended === ended) return;
    this.ended = ended;
    this.study = study;
    if (!this.source.isFrozen) this.offer(study);
    await this.load();
  }

  /** The choices that this figure has. */
  offer(study) {
    if (this.controls.children.length) return;
    const paths = study.head.domains.map((path) => [path, path]);
    if (this.name === "contour" && paths.length > 1) {
      const all = [["", "the two that matter most"], ...paths];
      this.controls.append(choice("across", all, "", (x) => this.choose({ x })), choice("up", all, "", (y) => this.choose({ y })));
    }
    if (study.head.objectives.length > 1 && ["importance", "contour", "slice", "parallel", "history"].includes(this.name)) {
      const metrics = study.head.objectives.map(({ metric }) => [metric, metric]);
      this.controls.append(choice("of", metrics, metrics[0][0], (objective) => this.choose({ objective })));
    }
  }

  /** Ask for another figure; one axis alone is no choice yet. */
  choose(change) {
    Object.assign(this.chosen, change);
    const { x, y, objective } = this.chosen;
    const asked = { ...(x && y ? { x, y } : {}), ...(objective ? { objective } : {}) };
    if (JSON.stringify(asked) === JSON.stringify(this.asked)) return;
    this.asked = asked;
    this.load();
  }

  async load() {
    const { asked } = this;
    const turn = (this.turn += 1);
    const isLate = () => turn < this.answered || asked !== this.asked;
    try {
      const { said, figure } = await this.source.figure(this.id, this.name, asked);
      if (isLate()) return;
      this.answered = turn;
      this.wrong.textContent = "";
      this.said.textContent = said;
      await this.draw(figure, said);
    } catch (error) {
      if (!isLate()) this.wrong.textContent = [error.message, error.remedy].filter(Boolean).join(" – ");
    }
  }

  async draw(figure, said) {
    const height = figure.layout?.height ?? HEIGHT;
    if (this.source.isFrozen) {
      if (!this.drawn) fill(this.place, this.drawn = h("div", { role: "img", "aria-label": said }));
      await this.source.plotly();
      await window.Plotly.react(this.drawn, ...prepared(figure));
      return;
    }
    if (!this.frame) {
      this.frame = h("iframe", { src: "/figure", title: `figure: ${this.name}` });
      addEventListener("message", (event) => event.source === this.frame.contentWindow && event.data === "ready" && this.post(), { signal: this.closing.signal });
      fill(this.place, this.frame);
    }
    this.frame.style.height = `${height}px`;
    this.message = { plot: prepared(figure), said };
    this.post();
  }

  /** A frame asks for its figure whenever it is loaded: again, too, after another tab was shown in its place. */
  post() {
    if (this.message) this.frame.contentWindow?.postMessage(this.message, "*");
  }
}

/** What plotly is given: a figure in the page's ink and as wide as there is room, without a way to any other address. */
function prepared(figure) {
  const font = { ...figure.layout?.font, color: colour("soft") }; // the figure's own grey is for any background
  const layout = { ...figure.layout, font, autosize: true, width: undefined };
  const settings = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"] };
  return [figure.data, layout, settings];
}

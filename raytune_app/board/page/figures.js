// Figures that plotly draws, and the server makes; plotly is loaded when the first one is opened.

import { choice, fill, h } from "./dom.js";

const HEIGHT = 520;

export class Figure {
  constructor(source, id, name) {
    Object.assign(this, { source, id, name });
    this.asked = {};
    this.controls = h("div", { class: "controls" });
    this.said = h("p", { class: "note" });
    this.wrong = h("p", { class: "wrong", role: "alert" });
    this.place = h("div", { class: "figure" });
    this.element = h("div", {}, this.controls, this.wrong, this.place, this.said);
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
    const paths = study.head.domains.map((path) => [path, path]);
    if (this.name === "contour" && paths.length > 1 && !this.controls.children.length) {
      const chosen = { x: "", y: "" };
      const set = (axis) => (path) => {
        chosen[axis] = path;
        this.asked = chosen.x && chosen.y ? { ...chosen } : {};
        if (!Object.values(chosen).some((value) => !value)) this.load();
      };
      const first = [["", "the two that matter most"]];
      fill(this.controls, choice("across", [...first, ...paths], "", set("x")), choice("up", [...first, ...paths], "", set("y")));
    }
    if (study.head.objectives.length > 1 && ["importance", "contour", "slice", "parallel", "history"].includes(this.name) && !this.controls.children.length) {
      const metrics = study.head.objectives.map(({ metric }) => [metric, metric]);
      fill(this.controls, choice("of", metrics, metrics[0][0], (objective) => { this.asked = { objective }; this.load(); }));
    }
  }

  async load() {
    try {
      const { said, figure } = await this.source.figure(this.id, this.name, this.asked);
      this.wrong.textContent = "";
      this.said.textContent = said;
      await this.draw(figure, said);
    } catch (error) {
      this.wrong.textContent = [error.message, error.remedy].filter(Boolean).join(" – ");
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
      addEventListener("message", (event) => event.source === this.frame.contentWindow && event.data === "ready" && this.post());
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

/** What plotly is given: a figure as wide as there is room, without a way to any other address. */
function prepared(figure) {
  const layout = { ...figure.layout, autosize: true, width: undefined };
  const settings = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"] };
  return [figure.data, layout, settings];
}

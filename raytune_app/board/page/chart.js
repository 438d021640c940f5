// A plot on a canvas: axes, colours of the page's theme, and what is under the pointer.

import { fill, h } from "./dom.js";
import { score } from "./format.js";

const MARGIN = { top: 10, right: 12, bottom: 44, left: 62 };
const NEAR = 24;

/** A colour of the page by the name of its CSS variable. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The colour of a trial in this state. */
export function stateColour(state) {
  return colour(`state-${state}`) || colour("soft");
}

/**
 * What is drawn is a scene: {
 *   x, y:   { min, max, title, log, whole, ticks: [[value, label], ...] },
 *   paint:  (context, X, Y) => ..., with X and Y from values to pixels,
 *   find:   (px, py, X, Y) => { lines: [text, ...], paint: (context) => ..., open: () => ... } or null,
 *   height: in pixels, label: what it shows, in words,
 * }
 */
export class Chart {
  constructor() {
    this.base = h("canvas", { role: "img" });
    this.over = h("canvas", { "aria-hidden": "true", class: "over" });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.element = h("div", { class: "chart" }, this.base, this.over, this.tip);
    this.over.addEventListener("pointermove", (event) => this.point(event));
    this.over.addEventListener("pointerdown", (event) => this.point(event));
    this.over.addEventListener("pointerleave", () => this.leave());
    this.over.addEventListener("click", () => this.found?.open?.());
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  /** Draw this from now on, at the next frame. */
  show(scene) {
    this.scene = scene;
    this.element.style.height = `${scene.height ?? 340}px`;
    this.base.setAttribute("aria-label", scene.label);
    this.redraw();
  }

  redraw() {
    if (this.waits || !this.scene) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      if (this.element.clientWidth) this.draw();
    });
  }

  draw() {
    const { scene } = this;
    const width = this.element.clientWidth;
    const height = scene.height ?? 340;
    const left = scene.left ?? MARGIN.left;
    this.box = { left, top: MARGIN.top, right: width - MARGIN.right, bottom: height - MARGIN.bottom };
    this.X = scale(scene.x, this.box.left, this.box.right);
    this.Y = scale(scene.y, this.box.bottom, this.box.top);
    const context = sized(this.base, width, height);
    sized(this.over, width, height);
    axes(context, scene, this.box, this.X, this.Y);
    context.save();
    context.beginPath();
    context.rect(this.box.left - 4, this.box.top - 4, this.box.right - this.box.left + 8, this.box.bottom - this.box.top + 8);
    context.clip();
    scene.paint(context, this.X, this.Y, this.box);
    context.restore();
    this.leave();
  }

  /** Mark something, as if it were pointed at; null for nothing. */
  mark(paint) {
    const context = cleared(this.over);
    if (paint) paint(context, this.X, this.Y, this.box);
  }

  point(event) {
    if (!this.scene?.find || !this.X) return;
    const bounds = this.over.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    this.found = this.scene.find(px, py, this.X, this.Y, NEAR);
    this.over.style.cursor = this.found?.open ? "pointer" : "default";
    this.mark(this.found?.paint);
    this.tip.hidden = !this.found;
    if (!this.found) return;
    fill(this.tip, this.found.lines.map((line) => h("div", {}, line)));
    const room = bounds.width - this.tip.offsetWidth - 8;
    const beside = px + 16 > room ? px - this.tip.offsetWidth - 16 : px + 16;
    this.tip.style.left = `${Math.max(4, Math.min(beside, room))}px`;
    this.tip.style.top = `${Math.max(4, Math.min(py + 12, bounds.height - this.tip.offsetHeight - 4))}px`;
  }

  leave() {
    this.found = null;
    this.tip.hidden = true;
    cleared(this.over);
    this.scene?.rest?.(this);
  }
}

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

function cleared(canvas) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

function scale(axis, from, to) {
  const turn = axis.log ? Math.log : (value) => value;
  const [low, high] = [turn(axis.min), turn(axis.max)];
  const span = high - low || 1;
  const place = (value) => from + ((turn(value) - low) / span) * (to - from);
  place.back = (pixel) => {
    const value = low + ((pixel - from) / (to - from)) * span;
    return axis.log ? Math.exp(value) : value;
  };
  return place;
}

/** Round values that divide an axis into about `wanted` parts, with their labels. */
export function ticks(axis, wanted) {
  if (axis.ticks) return axis.ticks;
  if (axis.log) return logTicks(axis, wanted);
  const span = axis.max - axis.min || 1;
  const rough = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99), axis.whole ? 1 : 0);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let index = Math.ceil(axis.min / step - 1e-9); index * step <= axis.max + step * 1e-9; index += 1) {
    const value = index * step;
    found.push([value, Math.abs(value) >= 10000 ? value.toLocaleString("en") : value.toFixed(Math.min(digits, 8))]);
  }
  return found;
}

function logTicks(axis, wanted) {
  const found = [];
  const factors = Math.log10(axis.max / axis.min) > 3 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(axis.min)); power <= Math.ceil(Math.log10(axis.max)); power += 1) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= axis.min * 0.999 && value <= axis.max * 1.001) found.push([value, String(Number(value.toPrecision(1)))]);
    }
  }
  return found.length > 1 ? found : ticks({ ...axis, log: false }, wanted);
}

function axes(context, scene, box, X, Y) {
  const [soft, line] = [colour("soft"), colour("line")];
  context.font = "12px system-ui, sans-serif";
  context.lineWidth = 1;
  context.fillStyle = soft;
  context.strokeStyle = line;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const [value, label] of ticks(scene.x, (box.right - box.left) / 65)) {
    const x = Math.round(X(value)) + 0.5;
    rule(context, x, box.top, x, box.bottom);
    context.fillText(label, x, box.bottom + 6);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const [value, label] of ticks(scene.y, (box.bottom - box.top) / 45)) {
    const y = Math.round(Y(value)) + 0.5;
    if (!scene.y.bare) rule(context, box.left, y, box.right, y);
    context.fillText(label, box.left - 8, y);
  }
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.fillText(scene.x.title, (box.left + box.right) / 2, box.bottom + MARGIN.bottom - 2);
  context.save();
  context.translate(12, (box.top + box.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.fillText(scene.y.title ?? "", 0, 0);
  context.restore();
}

function rule(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** The range of values to show: all of them, unless a few lie far beyond the others, such as a first epoch's loss. */
export function range(values, { log = false, sign = 0 } = {}) {
  const sorted = Float64Array.from(values.filter((value) => value !== null && (!log || value > 0))).sort();
  if (!sorted.length) return log ? { min: 0.1, max: 1 } : { min: 0, max: 1 };
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  let [min, max] = [sorted[0], sorted[sorted.length - 1]];
  if (!log && sorted.length > 20) {
    const body = at(0.95) - at(0.05);
    if (sign <= 0 && max - at(0.98) > 2 * body) max = at(0.98) + body * 0.2;
    if (sign >= 0 && at(0.02) - min > 2 * body) min = at(0.02) - body * 0.2;
  }
  if (log) return { min: min / 1.1, max: max * 1.1 };
  const pad = (max - min || Math.abs(max) || 1) * 0.05;
  return { min: min - pad, max: max + pad };
}

/** The lines of a tip that tell of a trial. */
export function told(trial, study) {
  const settings = Object.entries(trial.config).slice(0, 8).map(([path, value]) =>
    `${path} = ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`);
  return [`trial ${trial.number}, ${trial.state}: best ${score(trial.best)}`, ...settings];
}

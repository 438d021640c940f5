// A table of many rows: sorted by its headings, filtered by words, and drawn only where it is looked at.

import { fill, h } from "./dom.js";

const ROW = 34;
const BEYOND = 10;
/** What in a row can be focused, beside the row itself. */
const WITHIN = "a, button, input";
const COMPARED = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/;

/**
 * Columns are { key, title, value: (row) => number or text or null, show: (row) => text or element, text: whether it is
 * text, first: "down" if the first click sorts the largest to the top }.
 */
export class Table {
  constructor(name, columns, { id, open, glance, marked, sort, hint }) {
    Object.assign(this, { name, columns, id, open, glance, marked });
    this.sort = sort;
    this.rows = [];
    this.filter = "";
    this.head = h("tr", {});
    this.body = h("tbody", {});
    this.table = h("table", {}, h("caption", { class: "unseen" }, name), h("thead", {}, this.head), this.body);
    this.scroll = h("div", { class: "scroll rows", tabindex: 0, role: "region", "aria-label": name }, this.table);
    this.scroll.addEventListener("scroll", () => this.draw());
    this.count = h("span", { class: "soft", role: "status" });
    this.input = h("input", {
      type: "search", placeholder: hint, "aria-label": `filter ${name}`, spellcheck: "false",
      title: "words, and comparisons such as lr<0.01 or state=failed; all must fit",
      on: { input: () => { this.filter = this.input.value; this.arrange(); } },
    });
    this.element = h("div", {}, h("div", { class: "controls" }, this.input, this.count), this.scroll);
    this.body.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.scroll);
  }

  update(rows, columns = this.columns) {
    const isNew = columns.map(({ key }) => key).join() !== this.heads;
    Object.assign(this, { rows, columns });
    if (isNew) this.heading();
    this.arrange();
  }

  heading() {
    this.heads = this.columns.map(({ key }) => key).join();
    fill(this.head, this.columns.map((column) => {
      const [, group, name] = /^(.*\.)?([^.]*)$/.exec(column.title) ?? [null, null, column.title];
      const title = group ? [h("small", {}, group), h("br"), name] : name;
      const button = column.value ? h("button", { type: "button", on: { click: () => this.turn(column) } }, title) : title;
      return h("th", { scope: "col", class: column.text ? "text" : null, "data-key": column.key }, button);
    }));
  }

  turn(column) {
    const first = column.first ?? "up";
    const other = first === "up" ? "down" : "up";
    const way = this.sort.key === column.key && this.sort.way === first ? other : first;
    this.sort = { key: column.key, way };
    this.arrange();
  }

  arrange() {
    const tests = this.filter.trim().split(/\s+/).filter(Boolean).map((word) => this.test(word.toLowerCase()));
    this.shown = this.rows.filter((row) => tests.every((test) => test(row)));
    const column = this.columns.find(({ key }) => key === this.sort.key);
    const sign = this.sort.way === "up" ? 1 : -1;
    if (column) this.shown.sort((one, other) => ordered(column.value(one), column.value(other), sign));
    for (const heading of this.head.children) {
      const ways = { up: "ascending", down: "descending" };
      if (heading.dataset.key === this.sort.key) heading.setAttribute("aria-sort", ways[this.sort.way]);
      else heading.removeAttribute("aria-sort");
    }
    this.table.setAttribute("aria-rowcount", this.shown.length + 1);
    const all = this.rows.length.toLocaleString("en");
    this.count.textContent = tests.length ? `${this.shown.length.toLocaleString("en")} of ${all}` : all;
    this.drawn = null;
    this.draw();
  }

  /** Whether a row fits one word of the filter: a comparison with a column, or a part of any cell. */
  test(word) {
    const [, name, how, than] = COMPARED.exec(word) ?? [];
    const column = name && this.columns.find(({ key, value }) => value && (key.toLowerCase() === name || key.toLowerCase().endsWith(`.${name}`)));
    if (!column) return (row) => this.columns.some(({ value, key }) => value && String(key === "number" ? `trial ${value(row)}` : value(row)).toLowerCase().includes(word));
    const number = Number(than);
    return (row) => {
      const value = column.value(row);
      if (value === null || value === undefined) return false;
      const [mine, its] = typeof value === "number" ? [value, number] : [String(value).toLowerCase(), than];
      return { "<": mine < its, ">": mine > its, "<=": mine <= its, ">=": mine >= its, "=": mine === its, "!=": mine !== its }[how];
    };
  }

  /** Draw the rows that can be seen, and a few around them. */
  draw() {
    if (!this.shown) return;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.shown.length, first + Math.ceil((this.scroll.clientHeight || 600) / ROW) + 2 * BEYOND);
    if (this.drawn === `${first}-${last}`) return;
    this.drawn = `${first}-${last}`;
    const focused = this.focused();
    fill(this.body, space(first), this.shown.slice(first, last).map((row, index) => this.row(row, first + index)), space(this.shown.length - last));
    if (!focused) return;
    const line = this.body.querySelector(`[data-id="${CSS.escape(focused.id)}"]`);
    (line?.querySelectorAll(WITHIN)[focused.place] ?? line ?? this.scroll).focus({ preventScroll: true });
  }

  /** Whose row has the focus, and which of what is in it; null if none has. */
  focused() {
    const element = document.activeElement;
    const line = this.body.contains(element) ? element.closest("tr") : null;
    return line && { id: line.dataset.id, place: [...line.querySelectorAll(WITHIN)].indexOf(element) };
  }

  row(row, index) {
    const cells = this.columns.map((column, place) => {
      const shown = column.show ? column.show(row) : String(column.value(row) ?? "–");
      return h(place ? "td" : "th", { scope: place ? null : "row", class: column.text ? "text" : null }, shown);
    });
    return h("tr", {
      tabindex: 0, "data-id": this.id(row), "aria-rowindex": index + 2, class: this.marked(row) ? "wins" : null,
      on: {
        click: (event) => event.target.closest("a, input, label") || this.open(row),
        pointerenter: () => this.glance?.(row), pointerleave: () => this.glance?.(null), focus: () => this.glance?.(row),
      },
    }, cells);
  }

  key(event) {
    const line = event.target.closest("tr");
    const index = Number(line?.getAttribute("aria-rowindex")) - 2;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && event.target === line) this.open(this.shown[index]);
    if (!step || !this.shown[index + step]) return;
    event.preventDefault();
    const top = (index + step) * ROW;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    if (top + 3 * ROW > this.scroll.scrollTop + this.scroll.clientHeight) this.scroll.scrollTop = top + 3 * ROW - this.scroll.clientHeight;
    this.draw();
    this.body.querySelector(`[aria-rowindex="${index + step + 2}"]`)?.focus({ preventScroll: true });
  }
}

function ordered(one, other, sign) {
  const [missing, absent] = [one === null || one === undefined, other === null || other === undefined];
  if (missing || absent) return missing - absent;
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other), "en", { numeric: true });
}

function space(rows) {
  return rows > 0 ? h("tr", { "aria-hidden": "true", class: "space", style: { height: `${rows * ROW}px` } }) : null;
}

// Elements of the page. Text of a study is only ever set as text: there is no innerHTML here.

/** An element: `h("a", { href, class: "x", on: { click } }, "text", child, null)`. */
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "style") {
      for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put these in the place of all that is there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const NUMBER = /^([-+\u2013]?[\d.,]+(e[-+]?\d+)?( (MB|s|min|h|d|%).*)?|\u2013)$/;

/** A table: headings, then rows of cells; a cell may be an element. The first cell of a row is its heading. */
export function table(caption, headings, rows, { marked = () => false, left = false } = {}) {
  const text = headings.map((_, place) => left || rows.some((row) => typeof row[place] !== "string" || !NUMBER.test(row[place])) ? "text" : null);
  const cells = (row) => row.map((cell, place) => place ? h("td", { class: text[place] }, cell) : h("th", { scope: "row" }, cell));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, headings.map((heading, place) => h("th", { scope: "col", class: text[place] }, heading)))),
      h("tbody", {}, rows.map((row) => h("tr", { class: marked(row) ? "wins" : null }, cells(row))))));
}

/** Pairs of a name and a value, with a remark below. */
export function facts(pairs) {
  return h("dl", { class: "numbers" }, pairs.filter(Boolean).map(([name, value, remark]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value, remark ? h("small", {}, remark) : null))));
}

/** A choice with a label of its own. */
export function choice(label, options, chosen, onChange) {
  const select = h("select", { "aria-label": label, on: { change: () => onChange(select.value) } },
    options.map(([value, title]) => h("option", { value, selected: value === chosen }, title)));
  return h("label", { class: "field" }, label, " ", select);
}

/** A box to tick. */
export function tick(label, ticked, onChange) {
  const box = h("input", { type: "checkbox", checked: ticked, on: { change: () => onChange(box.checked) } });
  return h("label", { class: "field" }, box, " ", label);
}

/** What is read aloud, once, without moving anyone. */
export function announce(text) {
  document.getElementById("news").textContent = text;
}

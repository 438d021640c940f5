// Where a page that was frozen into one file has its study from: the file itself.

import { Problem } from "./source.js";

export class Frozen {
  isFrozen = true;

  /** The one study in this file; null if the page is not frozen. */
  static async opened() {
    const packed = document.getElementById("study");
    if (!packed) return null;
    const frozen = new Frozen();
    frozen.content = JSON.parse(await unpacked(packed));
    frozen.id = frozen.content.study.head.id;
    return frozen;
  }

  async studies() {
    return { storage: "", studies: [] };
  }

  async study() {
    return this.content.study;
  }

  async trial(id, number) {
    const found = this.content.trials[number];
    if (!found) throw new Problem(`This page has no details of trial ${number}.`, this.content.left_out || "The board has them: raytune board");
    return found;
  }

  async figures() {
    return Object.fromEntries(Object.entries(this.content.figures).map(([name, { title }]) => [name, title]));
  }

  async figure(id, name) {
    return this.content.figures[name];
  }

  follow() {
    return () => {};
  }

  /** Run plotly's own script, which lies packed in this file until a figure wants it. */
  async plotly() {
    if (!this.script) {
      this.script = unpacked(document.getElementById("plotly")).then((text) => {
        const script = document.createElement("script");
        script.textContent = text;
        document.head.append(script);
      });
    }
    return this.script;
  }
}

/** The text of an element that holds it compressed by gzip, in base64. */
async function unpacked(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

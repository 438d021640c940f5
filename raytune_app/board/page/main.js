// Which page is shown: by what stands after the # of the address.

import { ComparePage } from "./compare.js";
import { fill, h } from "./dom.js";
import { Frozen } from "./frozen.js";
import { Study } from "./model.js";
import { Live, Problem } from "./source.js";
import { StudiesPage } from "./studies.js";
import { StudyPage } from "./study.js";
import { TrialPage } from "./trial.js";

const WAIT_MS = 150;
const main = document.querySelector("main");
const line = document.getElementById("line");

let source;
let page;
let shown = 0;
/** The study that is followed: { id, study, stop }. */
let followed;

/** "#/study/demo-1/trial/3" as ["study", "demo-1", "trial", "3"]. */
function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  return source.isFrozen && parts[0] !== "study" ? ["study", source.id] : parts;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Problem("This is not an address of the board.", "A % in it must be followed by two digits.");
  }
}

async function show() {
  const turn = (shown += 1);
  page?.close?.();
  page = null;
  const waiting = setTimeout(() => turn === shown && fill(main, h("p", { class: "soft", role: "status" }, "Reading…")), WAIT_MS);
  try {
    const made = await pageFor(route());
    if (turn !== shown) {
      made.close?.();
      return;
    }
    page = made;
    fill(main, page.element);
    document.title = `${page.element.querySelector("h1").textContent} – raytune`;
    if (turn > 1) page.element.querySelector("h1").focus({ preventScroll: true });
    if (turn > 1) scrollTo(0, 0);
  } catch (error) {
    if (turn !== shown) return;
    fill(main, h("h1", { tabindex: -1 }, "This cannot be shown"), h("p", { class: "wrong", role: "alert" }, error.message),
      error.remedy ? h("p", {}, error.remedy) : null, source.isFrozen ? null : h("p", {}, h("a", { href: "#/" }, "All studies")));
    if (!error.remedy) throw error;
  } finally {
    clearTimeout(waiting);
  }
}

async function pageFor([kind, ...rest]) {
  if (kind === "study" && rest[1] === "trial") return new TrialPage(source, await follow(rest[0]), Number(rest[2]));
  if (kind === "study") return new StudyPage(source, await follow(rest[0]), rest[1]);
  unfollow();
  if (kind === "compare") return new ComparePage(source, await Promise.all(rest.map(async (id) => new Study(await source.study(id)))));
  return new StudiesPage(source);
}

/** The study of this id, kept up to date for whatever page shows it. */
async function follow(id) {
  if (followed?.id === id) return followed.study;
  unfollow();
  const turn = shown;
  const study = new Study(await source.study(id));
  if (turn !== shown) return study; // another page was asked for meanwhile
  const stop = source.follow(id, study.stamp, (content) => {
    study.merge(content);
    if (page?.study === study) page.update(study);
  }, (isThere, why) => { line.textContent = isThere ? "" : why || "The board does not answer; it is asked again and again."; });
  followed = { id, study, stop };
  return study;
}

function unfollow() {
  followed?.stop();
  followed = null;
  line.textContent = "";
}

async function begin() {
  source = (await Frozen.opened()) ?? new Live();
  source.note = source.content?.left_out;
  addEventListener("hashchange", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  await show();
}

begin();

// Who won: its settings, its scores on validation and on the sealed test part, what fresh seeds said.

import { facts, h, table } from "./dom.js";
import { count, many, score, setting } from "./format.js";

const TRAINED_AS = { confirm: "the best of its fresh seeds", refit: "trained once more without folds" };
const FULL_HEAT = 0.05;

/** The card of the winner; before there is one, of the best so far. */
export function winnerCard(study, open) {
  const { winner, state } = study.head;
  if (!winner || state === "running") return leaderCard(study, open);
  const { test, model } = winner;
  return h("section", { class: "card winner", "aria-label": "winner" },
    h("h2", {}, "Winner: ", link(study, winner.trial, open), `, epoch ${winner.epoch}`),
    h("p", { class: "soft" }, winner.parameters ? `${count(winner.parameters)} parameters` : null,
      model ? [" · registered as ", h("strong", {}, `${model.name} version ${model.version}`), model.alias ? ` (${model.alias})` : ""] : null),
    facts([
      [`validation ${winner.metric}`, score(winner.score), TRAINED_AS[winner.role] ?? "chose the winner, so optimistic"],
      ...(test ? tested(test, study.head.scores) : []),
    ]),
    facts(Object.entries(winner.config).map(([path, value]) => [path, setting(value)])),
    trainedWith(winner), confirmed(winner), pareto(study, winner));
}

function leaderCard(study, open) {
  const lead = study.leader;
  const running = ["running", "queued"].includes(study.head.state);
  if (!lead) {
    return h("section", { class: "card", "aria-label": "winner" },
      running ? "No score yet: the first epoch is still to come." : "No winner: no trial has a checkpoint with a finite score.");
  }
  return h("section", { class: "card winner", "aria-label": "best so far" },
    h("h2", {}, "Best so far: ", link(study, lead.number, open), `, epoch ${lead.best_epoch}`),
    facts([[`validation ${study.objective.metric}`, score(lead.best), running ? "the winner is chosen when the study ends" : "no winner was chosen"],
      ...Object.entries(lead.config).map(([path, value]) => [path, setting(value)])]));
}

function link(study, number, open) {
  return h("a", { href: `#/study/${encodeURIComponent(study.head.id)}/trial/${number}` }, `trial ${number}`);
}

function tested(test, titles) {
  return Object.entries(titles).filter(([key]) => key in test && !key.startsWith("weighted")).map(([key, title]) =>
    [`test ${title}`, score(test[key]), `95 %: ${score(test[`${key}_low`])} to ${score(test[`${key}_high`])}`]);
}

function trainedWith({ schedule }) {
  if (!schedule?.length) return null;
  const paths = Object.keys(schedule[0][1]);
  return [h("p", { class: "note" }, "Trained with, by epoch:"),
    table("values by epoch", ["from epoch", ...paths], schedule.map(([epoch, values]) => [String(epoch + 1), ...paths.map((path) => setting(values[path]))]))];
}

function confirmed({ confirmed: rows, search_trial: chosen, baseline }) {
  if (!rows?.length) return null;
  const base = baseline ? [["the defaults", "–", score(mean(baseline.scores ?? [])), "–", count((baseline.scores ?? []).length)]] : [];
  return [h("p", { class: "note" }, "Trained again with fresh seeds; chosen by the mean:"),
    table("fresh seeds", ["trial", "the search said", "mean", "standard error", "n"], [...rows.map((one) =>
      [String(one.trial), score(one.search_score), score(one.mean), score(one.se), count(one.scores.length)]), ...base],
    { marked: (row) => row[0] === String(chosen) })];
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

function pareto(study, winner) {
  if (!winner.pareto?.length) return null;
  return [h("p", { class: "note" }, `Pareto set: ${many(winner.pareto.length, "trial")} that no other beats in both objectives`),
    table("Pareto set", ["trial", ...study.head.objectives.map(({ metric }) => metric)],
      winner.pareto.map((one) => [String(one.trial), ...one.scores.map(score)]), { marked: (row) => row[0] === String(winner.trial) })];
}

/** How the sealed test part was answered: the confusion matrix and the scores per class; null without a test. */
export function testPart(study) {
  const test = study.head.winner?.test;
  if (!test) return null;
  return h("section", { class: "card", "aria-labelledby": "sealed" },
    h("h2", { id: "sealed" }, `Sealed test part, n = ${count(test.n)}`),
    h("p", { class: "note" }, "By true label (row) and answer (column): right answers green, mix-ups red."),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "confusion matrix" }, matrix(test)),
    h("details", {}, h("summary", {}, "Scores per class"),
      table("scores per class", ["label", "precision", "recall", "F1", "support"],
        test.per_class.map((row) => [row.label, score(row.precision), score(row.recall), score(row.f1), count(row.support)]))));
}

function matrix({ labels, confusion }) {
  return h("table", { class: "matrix" },
    h("caption", { class: "unseen" }, "confusion matrix"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "truth"), labels.map((label) => h("th", { scope: "col" }, label)))),
    h("tbody", {}, confusion.map((row, truth) => {
      const sum = Math.max(1, row.reduce((total, value) => total + value, 0));
      return h("tr", {}, h("th", { scope: "row" }, labels[truth]), row.map((value, answer) => {
        const right = truth === answer;
        const heat = right ? value / sum : Math.min(1, value / sum / FULL_HEAT);
        return h("td", { class: right ? "right" : value ? "mixed" : "none", style: { "--heat": heat.toFixed(3) } }, String(value));
      }));
    })));
}

"""The winner and its scores in words and tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from raytune_app.display.drawn import drawn
from raytune_app.display.lines import values_text
from raytune_app.display.text import printable
from raytune_app.training.metrics import SCORE_TITLES

_WHOSE = {"search": "", "confirm": ", the best of its fresh seeds", "refit": ", trained once more without folds"}
"""What a winner's validation score is of, by the role of its trial."""
SURE = 0.05
"""Below this p value two networks are told apart."""


def winner_text(winner: dict[str, Any], reason: str | None) -> str:
    """Which trial won, by which scores, with which values; from the content of winner.json."""
    metric = winner["metric"]
    se = f" (standard error over the folds {winner['se']:.4f})" if winner["se"] is not None else ""
    score = f"validation {metric} {winner['score']:.4f}{se}{_WHOSE[winner['role']]}"
    lines = [f"winner: trial {winner['trial']}, epoch {winner['epoch']}, {score}"]
    lines += [f"  {path}: {value}" for path, value in winner["config"].items()]
    if winner["schedule"]:
        lines.append("  trained with, by epoch:")
        lines += [f"    from {epoch + 1}: {values_text(values)}" for epoch, values in winner["schedule"]]
    if winner["confirmed"]:
        lines.append(confirmed_text(winner))
    if winner["pareto"]:
        lines.append(f"  picked of a Pareto set of {len(winner['pareto'])}:")
        lines += [
            f"    trial {one['trial']}: {', '.join(f'{score:g}' for score in one['scores'])}"
            for one in winner["pareto"]
        ]
    if reason:
        lines.append(f"  the study ended by {reason}")
    return printable("\n".join(lines))


def confirmed_text(winner: dict[str, Any]) -> str:
    """What fresh seeds said of the best, and by how much the search had overstated the winner."""
    metric, sign = winner["metric"], 1 if winner["mode"] == "max" else -1
    lines = ["  trained again with fresh seeds:"]
    for one in winner["confirmed"]:
        spread = f"mean {one['mean']:.4f}, standard error {_number(one['se'])}, n = {len(one['scores'])}"
        lines.append(f"    trial {one['trial']}: {metric} {spread}; the search had said {one['search_score']:.4f}")
    chosen = next(one for one in winner["confirmed"] if one["trial"] == winner["search_trial"])
    overstated = sign * (chosen["search_score"] - chosen["mean"])
    lines.append(f"  chosen by the mean: trial {chosen['trial']}; the search had overstated it by {overstated:+.4f}")
    return "\n".join(lines)


def champion_text(test: dict[str, Any]) -> str:
    """The scores on the sealed test part, with 95 % intervals and the per-class table."""
    lines = [f"sealed test part, n = {test['n']:,}:"]
    titles = {**SCORE_TITLES, "calibration_error": "calibration error"}
    lines += [
        f"  {title:<19}{test[key]:.4f}  (95 % interval {test[key + '_low']:.4f} to {test[key + '_high']:.4f})"
        for key, title in titles.items()
        if key in test
    ]
    if against := test.get("against"):
        better = "the winner is really better" if against["only_a"] > against["only_b"] else "THEY are really better"
        verdict = better if against["p_value"] < SURE else "no difference that these examples can show"
        lines.append(
            f"  {against['name']}: accuracy {against['accuracy']:.4f}; right alone: the winner {against['only_a']}, "
            f"they {against['only_b']}; McNemar's p = {against['p_value']:.2g}, {verdict}"
        )
    return "\n".join(lines) + "\n" + drawn(_per_class(test))


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _per_class(test: dict[str, Any]) -> Table:
    table = Table()
    for name in ("label", "precision", "recall", "F1", "support"):
        table.add_column(name, justify="right")
    for row in test["per_class"]:
        table.add_row(
            Text(printable(row["label"])),
            *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")),
            f"{row['support']:,}",
        )
    return table

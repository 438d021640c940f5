"""The figures of a study by name, as plotly figures; each with a sentence that says what it shows.

Those of settings and values are of the search alone: trials that confirm, compare or refit are in `curves` and
`timeline` only. Text from a study is escaped, since plotly reads some HTML in labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from raytune_app.board import charts, parallel, plots, sentences
from raytune_app.board import importance as measure
from raytune_app.board.samples import Search
from raytune_app.errors import InputError, NotFoundError
from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.view import StudyView


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure, what it needs, and what may be chosen.

    Attributes:
        trials: that ended with a value, at least.
        settings: with several values, at least.
        objectives: at least.
        choices: the names that `draw` and `say` take.
    """

    title: str
    draw: Callable[..., go.Figure]
    say: Callable[..., str]
    trials: int = 2
    settings: int = 0
    objectives: int = 1
    choices: tuple[str, ...] = ()


_ALL = {
    "history": _Figure("Best so far", charts.history, sentences.history, trials=1),
    "curves": _Figure("Learning curves", charts.curves, sentences.curves, trials=0, choices=("winner",)),
    "parallel": _Figure("Parallel coordinates", parallel.parallel, sentences.settings, settings=1),
    "importance": _Figure(
        "Importance", charts.importances, sentences.importances, measure.TRIALS, settings=2, choices=("epoch",)
    ),
    "contour": _Figure("Contour", plots.contour, sentences.pair, 4, settings=2, choices=("x", "y")),
    "slice": _Figure("Each setting by itself", plots.slices, sentences.settings, settings=1),
    "rank": _Figure("Rank", plots.rank, sentences.pair, settings=2, choices=("x", "y")),
    "edf": _Figure("Distribution of the values", plots.edf, sentences.edf),
    "timeline": _Figure("Timeline", charts.timeline, sentences.timeline, trials=0),
    "pareto": _Figure("Pareto front", plots.pareto, sentences.pareto, trials=1, objectives=2),
    "hypervolume": _Figure("Hypervolume", plots.hypervolume, sentences.hypervolume, objectives=2),
}
_WHOLE = ("epoch", "winner")
FIGURES: dict[str, str] = {name: each.title for name, each in _ALL.items()}
"""Titles by name, in the order of a page."""


def figure(name: str, experiment: Experiment, view: StudyView, /, **choice: Any) -> go.Figure:
    """A figure of the study as it stands.

    Args:
        name: one of FIGURES.
        experiment: what was asked for: domains and objectives.
        view: what happened.
        choice: `objective` for all: the metric to look at, of the experiment's; None: the first. `x` and `y` for
            `contour` and `rank`: settings by dotted path. `epoch` for `importance`: by which trials are compared.
            `winner` for `curves`: the trial on top. What is None is chosen here.

    Raises:
        NotFoundError: no such figure.
        InputError: it cannot be drawn of this study, yet or at all; or a choice that there is not.
    """
    wanted, search, chosen = _wanted(name, experiment, view, choice)
    return wanted.draw(search, wanted.title, **chosen)


def describe(name: str, experiment: Experiment, view: StudyView, /, **choice: Any) -> str:
    """A sentence or two that say what the figure shows, as plain text: not escaped. As `figure` otherwise."""
    wanted, search, chosen = _wanted(name, experiment, view, choice)
    return wanted.say(search, **chosen)


def available(experiment: Experiment, view: StudyView) -> list[str]:
    """The names of the figures that can be drawn of this study as it stands, in the order of FIGURES."""
    search = Search.of(experiment, view)
    return [name for name, each in _ALL.items() if _lack(name, each, search) is None]


def _wanted(
    name: str, experiment: Experiment, view: StudyView, choice: dict[str, Any]
) -> tuple[_Figure, Search, dict[str, Any]]:
    if name not in _ALL:
        raise NotFoundError(f"no figure {name!r}", f"one of {', '.join(_ALL)}")
    wanted = _ALL[name]
    if unknown := sorted(choice.keys() - {"objective", *wanted.choices}):
        known = ", ".join(("objective", *wanted.choices))
        raise InputError(f"the figure {name!r} has no choice {unknown[0]!r}", f"one of: {known}")
    search = Search.of(experiment, view, choice.get("objective"))
    if (lack := _lack(name, wanted, search)) is not None:
        raise lack
    return wanted, search, {key: _typed(key, value) for key, value in choice.items() if key != "objective"}


def _typed(key: str, value: Any) -> Any:
    """A choice as a number where it is one: the page's come as texts. Raises InputError."""
    if key not in _WHOLE or value is None:
        return value
    try:
        return int(value)
    except (TypeError, ValueError):
        raise InputError(f"{key} must be a whole number, not {value!r}", f"for example {key}=1") from None


def _lack(name: str, wanted: _Figure, search: Search) -> InputError | None:
    """Why it cannot be drawn; None if it can."""
    if len(search.experiment.objectives) < wanted.objectives:
        return InputError(f"the figure {name!r} needs two objectives; the study has one", "list two in the experiment")
    if len(search.counted) < wanted.trials:
        need = f"{wanted.trials} trial{'s' if wanted.trials > 1 else ''} that ended with a value"
        return InputError(f"the figure {name!r} needs {need}; there are {len(search.counted)}", "wait for more trials")
    if len(search.settings) < wanted.settings:
        need = f"{wanted.settings} setting{'s' if wanted.settings > 1 else ''} with several values"
        found = f"the figure {name!r} needs {need}; there are {len(search.settings)}"
        return InputError(found, "search more settings in the experiment, or wait for more trials")
    if not any(trial.epochs for trial in search.view.trials.values()):
        return InputError(f"the figure {name!r} needs an epoch; none is trained yet", "wait for the first epoch")
    return None

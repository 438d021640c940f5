"""Trials as columns, the form in which a page gets them: 1,000 trials of 20 epochs are 20,000 numbers, not objects.

    trials   one entry a trial: number, state, role, of, best, best_epoch, epochs (how many), train_s, begun, ended,
             faults, parameters, error (its first line)
    config   by dotted path, one entry a trial; null where a trial has no such setting
    epochs   the trials' epochs one after the other: epoch (null: each trial has 1, 2, 3, ...), at, took, slot, metrics
    rungs    where a schedule judged: index into `epochs`, rung, decision
    stints   what is not the fresh start of a trial: trial, epoch, source, source_epoch, at, reason, changes

Times are seconds since the study began. A page that has all trials gets those that changed since in the same form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from raytune_app.board.chronicle import Chronicle, TrialTimes, seconds
from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.view import Event, TrialView

Columns = dict[str, Any]
ERROR_CHARACTERS = 300
"""Of an error in a table; a trial's own page has all of it."""


def columns(chronicle: Chronicle, experiment: Experiment, trials: Sequence[TrialView] | None = None) -> Columns:
    """The columns of these trials; of all if None."""
    if trials is None:
        trials = [trial for _, trial in sorted(chronicle.view.trials.items())]
    rows = [row for trial in trials for row in trial.epochs]
    return {
        "trials": _trials(chronicle, experiment, trials),
        "config": _config(trials),
        "epochs": _epochs(chronicle, experiment, trials, rows),
        "rungs": _rungs(rows),
        "stints": _stints(chronicle, trials),
        "slots": [list(slot) for slot in chronicle.slots],
    }


def metrics(experiment: Experiment) -> list[str]:
    """What a page draws by epoch: the objectives, the first one first, and the loss."""
    return list(dict.fromkeys([*(str(one.metric) for one in experiment.objectives), "loss"]))


def rounded(value: float | None, digits: int = 6) -> float | None:
    """The value to so many significant digits: as much as a plot can show, in a third of the bytes."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def _trials(chronicle: Chronicle, experiment: Experiment, trials: Iterable[TrialView]) -> Columns:
    metric, begun = experiment.objective.metric, chronicle.begun
    rows = [
        _trial(trial, chronicle.times[trial.number], chronicle.account.best(trial.number), metric, begun)
        for trial in trials
    ]
    names = list(rows[0]) if rows else []
    return {name: [row[name] for row in rows] for name in names}


def _trial(trial: TrialView, times: TrialTimes, best: Event | None, metric: str, begun: float) -> Columns:
    return {
        "number": trial.number,
        "state": trial.state.value,
        "role": trial.role.value,
        "of": trial.of,
        "best": rounded(best[metric]) if best else None,
        "best_epoch": best["epoch"] if best else None,
        "epochs": len(trial.epochs),
        "train_s": round(times.train_s, 2),
        "begun": round(times.stints[0] - begun, 2),
        "ended": None if times.ended is None else round(times.ended - begun, 2),
        "faults": trial.faults,
        "parameters": trial.parameters,
        "error": trial.error[:ERROR_CHARACTERS] if trial.error else None,
    }


def _config(trials: Iterable[TrialView]) -> Columns:
    trials = list(trials)
    paths = dict.fromkeys(path for trial in trials for path in trial.config)
    return {path: [rounded(trial.config.get(path)) for trial in trials] for path in paths}


def _epochs(
    chronicle: Chronicle, experiment: Experiment, trials: Iterable[TrialView], rows: list[dict[str, Any]]
) -> Columns:
    plain = all(row["epoch"] == index for trial in trials for index, row in enumerate(trial.epochs, 1))
    slots = chronicle.slots
    return {
        "epoch": None if plain else [row["epoch"] for row in rows],
        "at": [round(seconds(row["time"]) - chronicle.begun, 1) for row in rows],
        "took": [round(row.get("epoch_s") or 0.0, 2) for row in rows],
        "slot": [slots.get((row.get("host", ""), row.get("pid", -1)), -1) for row in rows] if slots else None,
        "values": {metric: [rounded(row.get(metric)) for row in rows] for metric in metrics(experiment)},
    }


def _rungs(rows: Iterable[dict[str, Any]]) -> Columns:
    judged = [(index, row["rung"], row.get("decision")) for index, row in enumerate(rows) if row.get("rung")]
    return {
        "index": [index for index, _, _ in judged],
        "rung": [rung for _, rung, _ in judged],
        "decision": [decision for _, _, decision in judged],
    }


def _stints(chronicle: Chronicle, trials: Iterable[TrialView]) -> Columns:
    found = []
    for trial in trials:
        times = chronicle.times[trial.number].stints
        for before, stint, time in zip(trial.stints, trial.stints[1:], times[1:], strict=False):
            changes = {path: rounded(value) for path, value in stint.config.items() if before.config.get(path) != value}
            at = round(time - chronicle.begun, 1)
            found.append((trial.number, stint.epoch, stint.source, stint.source_epoch, at, stint.reason, changes))
    names = ("trial", "epoch", "source", "source_epoch", "at", "reason", "changes")
    return {name: [row[index] for row in found] for index, name in enumerate(names)}

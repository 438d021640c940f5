"""What a figure shows in a sentence or two, for those who hear it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from raytune_app.board.importance import importance
from raytune_app.board.looks import cut
from raytune_app.board.plots import cover, front_of, two_settings
from raytune_app.board.samples import LOST, Sample, Search
from raytune_app.board.timeline import stretches

_NAMED = 3


def history(search: Search) -> str:
    """The best value, and how long it has stood."""
    best = search.ranked()[0]
    since = sum(sample.number > best.number for sample in search.counted)
    stands = f"{since:,} trials after it were no better" if since else "it is the latest"
    return f"The best {_valued(search, best)}, of {_count(len(search.counted), 'trial')}; {stands}."


def curves(search: Search, winner: int | None = None) -> str:
    """How many curves, the best end, and what was lost."""
    lost = sum(trial.state in LOST for trial in search.view.trials.values())
    drawn = sum(bool(trial.epochs) for trial in search.view.trials.values())
    words = [f"{search.metric} by epoch of {_count(drawn, 'trial')}"]
    if search.counted:
        best = search.ranked()[0]
        words.append(f"the best {_valued(search, best)} at epoch {best.epoch}")
    words += [f"trial {winner} won"] if winner is not None else []
    words += [f"{lost:,} diverged or failed"] if lost else []
    return f"{'; '.join(words)}."


def settings(search: Search) -> str:
    """Where the best tenth lies: for parallel coordinates and slices."""
    best = search.ranked()[: max(3, len(search.counted) // 10)]
    found = [f"{path} {_span(best, path)}" for path in search.settings]
    return f"The best {len(best)} of {_count(len(search.counted), 'trial')} in {search.metric} have {', '.join(found)}."


def importances(search: Search, epoch: int | None = None) -> str:
    """The settings that matter most, with their shares."""
    found = importance(search, epoch)
    (first, share), *others = list(found.shares.items())[:_NAMED]
    then = ", ".join(f"{path} ({value:.2f})" for path, value in others)
    compared = f"of {_count(found.trials, 'trial')}{f' by epoch {found.epoch}' if found.epoch else ''}"
    return f"{first} matters most ({share:.2f}) for the {search.metric} {compared}, then {then}."


def pair(search: Search, x: str | None = None, y: str | None = None) -> str:
    """Where over two settings the best trial lies: for contour and rank."""
    x, y = two_settings(search, x, y)
    best = next((sample for sample in search.ranked() if {x, y} <= sample.config.keys()), search.ranked()[0])
    at = " and ".join(f"{path} {_said(best.config.get(path))}" for path in (x, y))
    trials = _count(len(search.counted), "trial")
    return f"{search.metric} over {x} and {y} of {trials}; the best {_valued(search, best)} at {at}."


def edf(search: Search) -> str:
    """What half and a tenth of the trials reach."""
    scores = np.array([search.score(sample) for sample in search.counted])
    half, tenth = (search.objective.sign * float(np.quantile(scores, share)) for share in (0.5, 0.9))
    total = _count(len(scores), "trial")
    return f"Of {total} half reach {search.metric} {half:.4g} or better, a tenth {tenth:.4g} or better."


def timeline(search: Search) -> str:
    """How many slots, how long, and how busy."""
    found, _ = stretches(search.view)
    slots, long = len({one.slot for one in found}), max(one.end_s for one in found)
    busy = sum(one.end_s - one.start_s for one in found) / (slots * long) if long else 1.0
    return f"{_count(slots, 'slot')} trained for {_duration(long)}, busy {min(busy, 1.0):.0%} of that time."


def pareto(search: Search) -> str:
    """How many trials are beaten by none, and between which values they lie."""
    best = front_of(search)
    front = sorted((one for one in search.counted if one.number in best), key=lambda one: one.values[0])
    names = [str(each.metric) for each in search.experiment.objectives]
    ends = [", ".join(f"{name} {value:.4g}" for name, value in zip(names, one.values, strict=True)) for one in front]
    span = f"from {ends[0]} to {ends[-1]}" if len(front) > 1 else f"with {ends[0]}"
    return f"{len(front)} of {_count(len(search.counted), 'trial')} are beaten by no other, {span}."


def hypervolume(search: Search) -> str:
    """How much of the box the front covers, and since when."""
    shares = cover(search)
    grew = [
        one.number for one, share, before in zip(search.counted, shares, [0.0, *shares], strict=False) if share > before
    ]
    last = f"it last grew with trial {grew[-1]}" if grew else "it has not grown yet"
    return f"The front of {_count(len(shares), 'trial')} covers {shares[-1]:.0%} of the box from worst to best; {last}."


def _valued(search: Search, sample: Sample) -> str:
    return f"{search.metric} is {search.value(sample):.4g} (trial {sample.number})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _span(samples: Iterable[Sample], path: str) -> str:
    values = [sample.config[path] for sample in samples if path in sample.config]
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        return _said(low) if low == high else f"{_said(low)} to {_said(high)}"
    return " or ".join(dict.fromkeys(map(_said, values))) or "not set"


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else cut(value)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )

"""Freezes a study's page into `report.html`: one file that opens from disk, without a server, now and in ten years."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from raytune_app.board.assets import assets, plotly, script
from raytune_app.board.chronicle import Chronicle
from raytune_app.board.columns import columns
from raytune_app.board.facts import Files, head, trial
from raytune_app.board.watched import dumped
from raytune_app.errors import InputError
from raytune_app.spec.grammar import Experiment
from raytune_app.training.metrics import SCORE_TITLES
from raytune_app.tuning.events import read_events
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.view import StudyView, TrialView

MAX_EPOCHS = 60_000
"""Of all trials together; a page with more keeps the curves of some trials whole, and the last epochs of the others."""
MAX_DETAILED = 300
"""Trials that have a page of their own in the file: the best ones, and those that failed."""
OUTPUT_CHARACTERS = 4_000
"""Of what one trial printed, the last so many are kept."""
DRAWN_BY_THE_PAGE = frozenset({"curves", "timeline"})
"""Figures that would show what the page draws by itself."""

Json = dict[str, Any]


def write_report(folder: StudyFolder) -> str:
    """Write `report.html` and return its path in the storage.

    Raises:
        NotFoundError: the study has no event log yet.
        StorageError: the page cannot be written.
    """
    folder.storage.write(folder.paths.report, frozen(folder))
    return folder.paths.report


def frozen(folder: StudyFolder) -> str:
    """The page, from the files in the study's folder alone. Raises NotFoundError, StorageError."""
    experiment, files = folder.experiment(), Files.of(folder)
    chronicle = Chronicle(experiment.objective, read_events(folder.storage, folder.paths))
    content = contents(folder.study, experiment, files, chronicle)
    told = content["study"]["head"]
    winner = told["winner"]
    test = (winner or {}).get("test") or {}
    own = script().body.decode()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(assets()["frozen.html"].body.decode()).render(
        policy=_policy(own, plotly().body.decode()),
        study=told["id"],
        state=told["state"],
        winner=winner,
        scores=[(key, title) for key, title in SCORE_TITLES.items() if key in test],
        style=Markup(assets()["style.css"].body.decode()),  # noqa: S704  # the page's own
        content=_packed(dumped(content)),
        plotly=_packed_plotly(),
        script=Markup(own),  # noqa: S704  # the page's own
    )


def contents(study: str, experiment: Experiment, files: Files, chronicle: Chronicle) -> Json:
    """What the page has of the study: as the server would send it, trials in full, and figures."""
    trials = [found for _, found in sorted(chronicle.view.trials.items())]
    ranked = _ranked(trials, chronicle, files.winner)
    kept, note = _thinned(trials, ranked, chronicle)
    detailed = _detailed(ranked, files.winner)
    left_out = [note] if note else []
    if len(detailed) < len(trials):
        left_out.append(f"Only {len(detailed)} of {len(trials):,} trials, the best and the failed, have a page here.")
    body = {
        "stamp": "",
        "head": head(study, experiment, files, chronicle),
        "columns": columns(chronicle, experiment, kept),
    }
    return {
        "study": body,
        "trials": {found.number: _shortened(trial(chronicle, found.number)) for found in detailed},
        "figures": _figures(experiment, chronicle.view),
        "left_out": " ".join(left_out),
    }


def _thinned(
    trials: Sequence[TrialView], ranked: Sequence[TrialView], chronicle: Chronicle
) -> tuple[list[TrialView], str]:
    """The trials, of which all but the best lose most of their curves if there are too many; and a note about it."""
    total = sum(len(found.epochs) for found in trials)
    if total <= MAX_EPOCHS:
        return list(trials), ""
    room, whole = MAX_EPOCHS - 3 * len(trials), set[int]()
    for found in ranked:
        room -= len(found.epochs)
        if room < 0 and whole:  # the winner's stays whole in any case
            break
        whole.add(found.number)
    kept = [found if found.number in whole else _without_curve(found, chronicle) for found in trials]
    note = (
        f"To stay small this page has the whole curves of the best {len(whole):,} of {len(trials):,} trials; of the "
        "others it has their first, best and last epochs, and those at rungs."
    )
    return kept, note


def _without_curve(found: TrialView, chronicle: Chronicle) -> TrialView:
    best, ends = chronicle.account.best(found.number), [*found.epochs[:1], *found.epochs[-1:]]
    rows = [row for row in found.epochs if row in ends or row is best or row.get("rung")]
    return TrialView(**{**vars(found), "epochs": rows})


def _detailed(ranked: Sequence[TrialView], winner: Json | None) -> list[TrialView]:
    """Who won, then who failed, then the best of the others."""
    won = set(_won(winner))
    first = [found for found in ranked if found.number in won]
    failed = sorted((found for found in ranked if found.error), key=lambda found: found.number)[: MAX_DETAILED // 2]
    chosen = {found.number: found for found in [*first, *failed, *ranked]}
    return list(chosen.values())[:MAX_DETAILED]


def _won(winner: Json | None) -> list[int]:
    """The trials that the page names as winners, each once: the one itself, where it was found, the Pareto set."""
    if winner is None:
        return []
    named = [winner["trial"], winner.get("search_trial"), *(one["trial"] for one in winner.get("pareto") or ())]
    return list(dict.fromkeys(number for number in named if number is not None))


def _ranked(trials: Sequence[TrialView], chronicle: Chronicle, winner: Json | None) -> list[TrialView]:
    """Who won first, then the best; those without a score last."""
    metric, sign = chronicle.account.objective.metric, chronicle.account.objective.sign
    place = {number: index for index, number in enumerate(_won(winner))}

    def key(found: TrialView) -> tuple[float, float, int]:
        best = chronicle.account.best(found.number)
        return place.get(found.number, len(place)), (-sign * best[metric] if best else math.inf), found.number

    return sorted(trials, key=key)


def _shortened(detail: Json) -> Json:
    """A trial with the end of its output alone."""
    kept: list[Json] = []
    room = OUTPUT_CHARACTERS
    for part in reversed(detail["output"]):
        if room <= 0:
            break
        kept.insert(0, {**part, "text": part["text"][-room:]})
        room -= len(part["text"])
    return {**detail, "output": kept}


def _figures(experiment: Experiment, view: StudyView) -> Json:
    from raytune_app.board import figures

    made = {}
    for name in figures.available(experiment, view):
        if name in DRAWN_BY_THE_PAGE:
            continue
        try:
            drawn = json.loads(figures.figure(name, experiment, view).to_json())
        except InputError:  # the study lacks what it needs after all
            continue
        said = figures.describe(name, experiment, view)
        made[name] = {"title": figures.FIGURES[name], "said": said, "figure": drawn}
    return made


def _policy(own: str, library: str) -> str:
    """What a browser lets the file do: its own scripts, and nothing from anywhere.

    Plotly compiles functions as it draws, and sets styles; it is the only one that does.
    """
    hashes = " ".join(_hash(text) for text in (own, library))
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _packed_plotly() -> str:
    return _packed(plotly().body)


def _packed(content: bytes) -> str:
    """Compressed, as text in which nothing can be markup; the same bytes for the same content."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""Another study's winning schedule, trained afresh: same values at the same epochs, one trial, a seed of its own."""

from __future__ import annotations

from typing import Any

from raytune_app.errors import InputError
from raytune_app.spec import Experiment, parse
from raytune_app.spec.reading import merge
from raytune_app.tuning.folder import StudyFolder


def replayed(experiment: Experiment, folder: StudyFolder) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of one trial with the winner's first values, and what `study.prepare` calls `replay`.

    Args:
        experiment: everything that the other study did not search: data, epochs, seed, what to register.
        folder: the study whose winner is trained again.

    Raises:
        InputError: that study has no winner, or its values do not fit the experiment.
    """
    winner = folder.winner()
    if winner is None:
        raise InputError(f"study {folder.study} has no winner to replay", f"raytune resume {folder.study}")
    first, *rest = winner["schedule"] or [[0, winner["config"]]]
    left = experiment.domains().keys() - first[1].keys()
    if left:
        said = f"study {folder.study} did not search {', '.join(sorted(left))}, so it has no value to replay"
        raise InputError(said, "give a value in the file, or by --set")
    plain = {"search": {"name": "random"}, "scheduler": {"name": "fifo"}, "trials": 1, "folds": None, "confirm": None}
    content = merge(experiment.to_dict(), plain | {"budget": {}} | first[1])
    return parse(content), {"study": folder.study, "plan": rest}

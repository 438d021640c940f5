"""What a searcher may learn from another study of the same storage: those of its trials that fit these domains.

What it learnt is kept in the study's own folder: the other study may be extended or deleted before this one goes on.
"""

from __future__ import annotations

import logging

from raytune_app.errors import InputError
from raytune_app.spec import Experiment
from raytune_app.tuning.folder import StudyFolder, open_study
from raytune_app.tuning.search.base import Ending, Learnt, Told
from raytune_app.tuning.told import told_of
from raytune_app.tuning.view import Role

_log = logging.getLogger(__name__)


def learnt_from(folder: StudyFolder, experiment: Experiment) -> Learnt:
    """Configurations and what became of them, in the order of the other study's trials.

    A value that this experiment does not search is left out; a trial that lacks a searched value, or has one outside
    its domain, is left out as a whole.

    Raises:
        InputError: no trial fits, or the other study had another objective.
    """
    other = folder.experiment()
    if [each.metric for each in other.objectives] != [each.metric for each in experiment.objectives]:
        said = (
            f"study {folder.study} was after {other.objective.metric}, this one is after {experiment.objective.metric}"
        )
        raise InputError(said, "warm-start from a study with the same objective")
    domains = experiment.domains()
    learnt = []
    for trial in folder.view().of_role(Role.SEARCH):
        values = {path: trial.config[path] for path in domains if path in trial.config}
        if len(values) == len(domains) and all(domains[path].holds(value) for path, value in values.items()):
            learnt.append((values, told_of(trial, experiment)))
    if not learnt:
        raise InputError(f"no trial of study {folder.study} lies inside these domains", "remove `search.warm_start`")
    _log.info("learnt from %d trials of %s", len(learnt), folder.study)
    return learnt


def keep_learnt(folder: StudyFolder, learnt: Learnt) -> None:
    """Write down in the study's own folder what it learnt; nothing if it learnt nothing."""
    rows = [
        {"config": values, "ending": told.ending.value, "scores": [*told.scores], "curve": [*told.curve.items()]}
        for values, told in learnt
    ]
    if rows:
        folder.storage.write_json(folder.paths.warm_start, rows)


def kept_learnt(folder: StudyFolder, experiment: Experiment) -> Learnt:
    """What this study learnt when it began; if it was killed before that was kept, what there is to learn now.

    Raises:
        StorageError: what was kept cannot be read.
        InputError, NotFoundError: see `learnt_from` and `open_study`.
    """
    study = experiment.search.warm_start
    if study is None:
        return []
    if not folder.storage.exists(folder.paths.warm_start):
        keep_learnt(folder, learnt_from(open_study(folder.storage, study), experiment))
    rows = folder.storage.read_json(folder.paths.warm_start)
    return [(row["config"], Told(row["scores"], dict(row["curve"]), Ending(row["ending"]))) for row in rows]

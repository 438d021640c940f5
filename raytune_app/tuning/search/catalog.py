"""The search that an experiment asks for."""

from __future__ import annotations

from raytune_app.spec.grammar import Experiment
from raytune_app.spec.rules import LEARNING
from raytune_app.tuning.search.base import Search
from raytune_app.tuning.search.draws import GridSearch, RandomSearch
from raytune_app.tuning.search.points import Points
from raytune_app.tuning.search.quasirandom import QuasirandomSearch


def build_search(experiment: Experiment) -> Search:
    """A search that knows of no trial yet; `search.points` come first."""
    name = experiment.search.name
    if name in LEARNING:
        from raytune_app.tuning.search.model_based import ModelBased

        return ModelBased(experiment)
    if name == "grid":
        return GridSearch(experiment)
    search = QuasirandomSearch(experiment) if name == "quasirandom" else RandomSearch(experiment)
    return Points(experiment, search) if experiment.search.points else search

"""Suggestion n depends on the experiment and n alone."""

from typing import Any

import pytest

from raytune_app.spec import Experiment, parse, resolve
from raytune_app.tuning.space import suggest, trial_count, trial_seed


def test_suggestions_do_not_depend_on_order(experiment: Experiment) -> None:
    forwards = [suggest(experiment, number) for number in range(20)]
    backwards = [suggest(experiment, number) for number in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert len({repr(values) for values in forwards}) > 15


def test_another_seed_gives_other_suggestions(experiment: Experiment) -> None:
    other = parse({**experiment.to_dict(), "seed": 4})
    assert suggest(experiment, 0) != suggest(other, 0)
    assert trial_seed(experiment, 0) != trial_seed(other, 0)


def test_a_further_domain_leaves_the_others_as_they_were(experiment: Experiment) -> None:
    content = experiment.to_dict()
    content["augment"]["rotate"] = {"uniform": [0, 10]}
    wider = suggest(parse(content), 5)
    assert wider.pop("augment.rotate") < 10
    assert wider == suggest(experiment, 5)


def test_every_suggestion_resolves(experiment: Experiment) -> None:
    for number in range(50):
        resolved = resolve(experiment, suggest(experiment, number))
        assert not resolved.domains()
        assert 1e-4 <= resolved.train.lr < 1e-1


def _grid(**changes: Any) -> Experiment:
    content = {
        "name": "grid",
        "data": {"name": "mnist"},
        "model": {"name": "tutorial_cnn", "channels": {"grid": [4, 8, 16]}},
        "train": {"lr": {"grid": [0.1, 0.01]}},
        "search": {"name": "grid"},
    }
    return parse({**content, **changes})


def test_grid_search_tries_every_combination_once() -> None:
    experiment = _grid()
    tried = {tuple(suggest(experiment, number).values()) for number in range(trial_count(experiment))}
    assert tried == {(channels, lr) for channels in (4, 8, 16) for lr in (0.1, 0.01)}


@pytest.mark.parametrize(("trials", "count"), [(None, 10), (3, 3)])
def test_random_search_counts_trials(trials: int | None, count: int, experiment: Experiment) -> None:
    assert trial_count(parse({**experiment.to_dict(), "trials": trials})) == count


def test_an_experiment_without_domains_is_one_trial(experiment: Experiment) -> None:
    resolved = resolve(experiment, suggest(experiment, 0)).to_dict()
    assert trial_count(parse({**resolved, "trials": None})) == 1

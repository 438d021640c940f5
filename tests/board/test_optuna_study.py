"""A study of ours as Optuna's."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState as OptunaState

from raytune_app.board.optuna_study import optuna_study
from raytune_app.board.samples import Search
from raytune_app.tuning.view import StudyView
from tests.board.studies import EVIL, MIXED, experiment, started, trial


def test_optunas_study_has_our_numbers_states_values_and_the_searchs_trials_alone() -> None:
    spec = experiment()
    config = {"params.rate": 0.01, "params.depth": 3, "params.kind": "b"}
    rows = [{"score": 0.2}, {"score": 0.9}, {"score": 0.5}]
    events = [*started(), *trial(0, config, rows), *trial(1, config, rows, role="confirm", of=0)]
    for number, state in enumerate(["stopped", "diverged", "failed", None], start=2):
        events += trial(number, config, rows, state)
    events += [*trial(6, config, rows, None), {"event": "trial_paused", "trial": 6, "epoch": 3}]
    events += trial(7, config, [{"score": None}])
    trials = optuna_study(Search.of(spec, StudyView.of(events))).get_trials(deepcopy=False)
    complete, fail, running = OptunaState.COMPLETE, OptunaState.FAIL, OptunaState.RUNNING
    assert [(each.number, each.state) for each in trials] == [
        (0, complete),
        (2, complete),
        (3, fail),
        (4, fail),
        (5, running),
        (6, complete),
        (7, fail),
    ]
    assert trials[0].value == 0.9 and trials[0].params == config
    assert trials[0].intermediate_values == {1: 0.2, 2: 0.9, 3: 0.5}


def test_domains_become_distributions_and_a_trial_without_a_setting_has_no_parameter() -> None:
    spec = experiment(
        params={**MIXED, "plain": {"choice": [50, 100]}, "one": {"choice": [1]}, "n": {"randint": [1, 4]}}
    )
    config = {"params.evil": EVIL[0], "params.mixed": True, "params.step": 0.3, "params.width": 4, "params.plain": 100}
    config |= {"params.one": 1, "params.n": 3}
    view = StudyView.of([*started(), *trial(0, config, [{"score": 1.0}])])
    (found,) = optuna_study(Search.of(spec, view)).trials
    assert found.params.keys() == config.keys() - {"params.one"}  # a single value is no parameter; `rate` was not set
    assert found.distributions["params.step"] == FloatDistribution(0.0, 0.9, step=0.3)
    assert found.distributions["params.width"] == IntDistribution(2, 32, log=True)
    assert found.distributions["params.n"] == IntDistribution(1, 3)
    assert found.distributions["params.plain"] == CategoricalDistribution((50, 100))
    mixed = found.distributions["params.mixed"]
    assert isinstance(mixed, CategoricalDistribution)
    assert mixed.choices == ("1 (int)", "true (bool)", "1 (str)", "1.0", "true (str)", "null")
    assert found.params["params.mixed"] == "true (bool)"
    assert found.params["params.evil"] == "&lt;b&gt;bold&lt;/b&gt;"


def test_a_perturbed_trial_has_the_values_of_its_best_epoch() -> None:
    spec = experiment()
    before, after = ({"params.rate": rate, "params.depth": 3, "params.kind": "b"} for rate in (0.01, 0.02))
    first, second = trial(0, before, [{"score": 0.9}], None), trial(0, after, [{"score": 0.0}, {"score": 0.5}])
    resumed = {"event": "trial_resumed", "trial": 0, "epoch": 1, "source": 0, "source_epoch": 1, "reason": "perturbed"}
    view = StudyView.of([*started(), *first, {**resumed, "config": after}, *second[2:]])
    (sample,) = Search.of(spec, view).samples
    assert (sample.epoch, sample.config["params.rate"]) == (1, 0.01)

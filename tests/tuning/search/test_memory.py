"""What Optuna's samplers see of trials, by how these ended."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from raytune_app.tuning.search.base import Ending, Told
from raytune_app.tuning.search.memory import Memory

any_float = st.floats()
tolds = st.builds(
    Told,
    st.just(()) | st.tuples(any_float, any_float),
    st.dictionaries(st.integers(1, 9), st.none() | any_float, max_size=3),
    st.sampled_from(Ending),
)


def _memory(*tolds: Told, ranks_cut: bool) -> Memory:
    memory = Memory({"x": FloatDistribution(0, 1)}, ranks_cut=ranks_cut)
    for told in tolds:
        memory.tell(memory.add({"x": 0.5}, {}), told)
    return memory


def _last(*tolds: Told, ranks_cut: bool) -> FrozenTrial:
    return _memory(*tolds, ranks_cut=ranks_cut).trials()[-1]


def _whole(score: float) -> Told:
    return Told((score,), {1: score}, Ending.WHOLE)


@given(st.lists(tolds, max_size=6), st.booleans())
def test_nothing_that_is_not_finite_is_told(told: list[Told], ranks_cut: bool) -> None:
    for trial in _memory(*told, ranks_cut=ranks_cut).trials():
        assert trial.state.is_finished()
        assert all(map(math.isfinite, [*(trial.values or ()), *trial.intermediate_values.values()]))
        assert (trial.values is not None) == (trial.state is TrialState.COMPLETE)


@pytest.mark.parametrize("ranks_cut", [True, False])
def test_a_running_trial_is_running(ranks_cut: bool) -> None:
    memory = _memory(ranks_cut=ranks_cut)
    memory.add({"x": 0.1}, {})
    assert memory.trials()[0].state is TrialState.RUNNING


def test_a_cut_trial_is_pruned_with_its_curve_where_the_sampler_can_tell() -> None:
    cut = Told((0.7,), {1: 0.5, 2: None, 3: 0.7}, Ending.CUT)
    trial = _last(cut, ranks_cut=True)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.5, 3: 0.7})
    assert (_last(cut, ranks_cut=False).state, _last(cut, ranks_cut=False).values) == (TrialState.COMPLETE, [0.7])


def test_a_lost_trial_is_as_bad_as_the_worst_however_good_it_was() -> None:
    lost = Told((0.9,), {1: 0.9, 2: None}, Ending.LOST)
    ranked = _last(_whole(0.2), lost, ranks_cut=True)
    assert (ranked.state, ranked.intermediate_values) == (TrialState.PRUNED, {})
    memory = _memory(lost, _whole(0.2), _whole(0.8), ranks_cut=False)
    assert [trial.values for trial in memory.trials()] == [[0.2], [0.2], [0.8]]
    memory.tell(memory.add({"x": 0.2}, {}), _whole(0.1))
    assert memory.trials()[0].values == [0.1]


def test_the_worst_of_two_objectives_is_the_worst_of_each() -> None:
    one, other = Told((1, 5), {}, Ending.WHOLE), Told((2, 3), {}, Ending.WHOLE)
    assert _last(one, other, Told((), {}, Ending.LOST), ranks_cut=False).values == [1, 3]


@pytest.mark.parametrize("told", [Told((0.5,), {1: 0.5}, Ending.UNKNOWN), Told((), {}, Ending.WHOLE)])
@pytest.mark.parametrize("ranks_cut", [True, False])
def test_a_trial_of_which_nothing_is_known_has_failed(told: Told, ranks_cut: bool) -> None:
    assert _last(_whole(0.5), told, ranks_cut=ranks_cut).state is TrialState.FAIL


def test_a_trial_lost_before_any_score_has_failed_where_only_scores_count() -> None:
    assert _last(Told((), {}, Ending.LOST), ranks_cut=False).state is TrialState.FAIL


def test_a_later_word_replaces_the_earlier_unless_it_says_nothing() -> None:
    memory = _memory(ranks_cut=True)
    record = memory.add({"x": 0.5}, {})
    memory.tell(record, Told((0.5,), {1: 0.5}, Ending.CUT))
    assert memory.trials()[0].state is TrialState.PRUNED
    memory.tell(record, Told((0.8,), {1: 0.5, 3: 0.8}, Ending.WHOLE))
    assert [trial.values for trial in memory.trials()] == [[0.8]]
    memory.tell(record, Told((), {}, Ending.UNKNOWN))
    assert [trial.values for trial in memory.trials()] == [[0.8]]

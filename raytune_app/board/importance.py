"""How much each setting matters for being among the best, by PED-ANOVA.

Source: Watanabe et al., PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces, IJCAI
2023, arXiv:2304.10255; as Optuna has it.

A scheduler that stops trials early makes their best values incomparable: a trial of one epoch may be worse than one of
twenty by its length alone. Comparing all at the first rung asks what matters for an early value, which favours what
trains quickly; at a later rung, only those that were good already are left. On a made-up space whose truth is known,
under ASHA, best values came nearest to the importance in full runs (total deviation 0.18 at 300 and 1,000 trials,
against 0.23 and 0.28 at the first rung and 0.54 and 0.62 at the second; 0.46, 0.39 and 0.95 at 60 trials). So best
values are what is compared, the figure says that the epochs are unequal, and an epoch may be chosen instead.

Trials that diverged count as the worst: what makes training diverge matters. Those that failed say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from raytune_app.board.optuna_study import optuna_study, quiet
from raytune_app.board.samples import Sample, Search, varies
from raytune_app.errors import InputError
from raytune_app.tuning.view import TrialState

TRIALS = 10
"""Fewer say nothing."""
_TOP = 0.1
_AT_LEAST = 5
"""Trials among the best, below which PED-ANOVA is not stable."""
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Importance:
    """What PED-ANOVA says.

    Attributes:
        shares: by setting, largest first; they add up to 1. Those that only diverged trials vary are among them.
        epoch: by which the trials were compared; None: each by its best.
        epochs: the fewest and the most that a compared trial trained, of those that did not diverge.
        trials: how many were compared; `lost` of these diverged.
        left_out: how many had ended before `epoch`.
        top: the share of the trials that are the best.
    """

    shares: dict[str, float]
    epoch: int | None
    epochs: tuple[int, int]
    trials: int
    lost: int
    left_out: int
    top: float


def importance(search: Search, epoch: int | None = None) -> Importance:
    """Compare the trials by their best value.

    Args:
        search: with settings of several values.
        epoch: counted from 1: by the best value until then, of the trials that trained it. None: of all epochs.

    Raises:
        InputError: fewer than TRIALS trials trained this epoch.
    """
    compared = search.counted if epoch is None else [_until(search, one, epoch) for one in _reaching(search, epoch)]
    if len(compared) < TRIALS:
        found = f"importance needs {TRIALS} trials that trained epoch {epoch or 1}; there are {len(compared)}"
        raise InputError(found, "wait for more trials, or choose an earlier epoch")
    lost = _diverged(search, compared)
    every = [*compared, *lost]
    top = min(_SHARE, max(_TOP, _AT_LEAST / len(every)))
    with quiet():
        evaluator = PedAnovaImportanceEvaluator(target_quantile=top)
        known = get_param_importances(optuna_study(search, every), evaluator=evaluator)
    paths = [path for path in search.experiment.domains() if varies(every, path)]
    shares = sorted(((path, known.get(path, 0.0)) for path in paths), key=lambda item: -item[1])
    trained = [max(one.curve) for one in compared]
    left_out = len(search.counted) - len(compared)
    return Importance(dict(shares), epoch, (min(trained), max(trained)), len(every), len(lost), left_out, top)


def _reaching(search: Search, epoch: int) -> list[Sample]:
    return [one for one in search.counted if min(one.curve) <= epoch <= max(one.curve)]


def _until(search: Search, sample: Sample, epoch: int) -> Sample:
    """The trial as if it had ended after this epoch."""
    best = max(search.objective.sign * value for at, value in sample.curve.items() if at <= epoch)
    values = list(sample.values)
    values[search.index] = search.objective.sign * best
    return replace(sample, values=tuple(values))


def _diverged(search: Search, compared: list[Sample]) -> list[Sample]:
    """The trials that diverged, with the worst value of the others."""
    worst = min(compared, key=search.score).values
    lost = [sample for sample in search.samples if sample.state is TrialState.DIVERGED]
    return [replace(sample, state=TrialState.STOPPED, values=worst) for sample in lost]

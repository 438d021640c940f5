"""The end of a study: what could be chosen, in which state it is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytune_app.spec import Experiment
from raytune_app.tuning.conductor import Conductor
from raytune_app.tuning.confirm import final
from raytune_app.tuning.folder import StudyFolder, now_text
from raytune_app.tuning.record import write_winner
from raytune_app.tuning.tables import write_trials
from raytune_app.tuning.view import Event, StudyState, StudyView, TrialState
from raytune_app.tuning.winner import Winner


@dataclass(frozen=True)
class Outcome:
    """How a study ended; `winner` is None if nothing could be chosen."""

    folder: StudyFolder
    state: StudyState
    reason: str | None
    view: StudyView
    winner: Winner | None


def conclude(folder: StudyFolder, experiment: Experiment, conductor: Conductor, failure: str | None = None) -> Outcome:
    """Choose the winner of what there is and write the study down as ended.

    One that is finished is not `settled` before its winner is scored and registered.

    Args:
        failure: what went wrong, if something did.
    """
    view = conductor.view
    for trial in list(view.trials.values()):
        if trial.state is TrialState.RUNNING:
            conductor.ended(trial.number)
    winner = final(view, experiment)
    state, reason = _end_state(conductor, winner, failure)
    if state is StudyState.FINISHED:
        conductor.settle()
    if winner:
        write_winner(folder, experiment, view, winner)
    write_trials(folder, view, experiment.objective)
    conductor.log.append("study_ended", state=state.value, reason=reason)
    folder.update(state=state.value, reason=reason, ended=now_text(), settled=state is not StudyState.FINISHED)
    return Outcome(folder, state, reason, view, winner)


def _end_state(conductor: Conductor, winner: Winner | None, failure: str | None) -> tuple[StudyState, str | None]:
    if failure or conductor.stop_reason:
        return (StudyState.FAILED if failure else conductor.stop_state), failure or conductor.stop_reason
    if not conductor.over:
        return StudyState.STOPPED, "interrupted"
    return (StudyState.FINISHED if winner else StudyState.FAILED), conductor.reason


def no_winner(view: StudyView) -> str:
    """Why nothing could be chosen."""
    errors = [trial.error for trial in view.trials.values() if trial.error]
    if errors:
        return f"{len(errors)} of {len(view.trials)} trials failed, the first with: {errors[0]}"
    return "every trial diverged; lower the learning rates"


def paused_by_failures(past: Sequence[Event]) -> bool:
    """Whether the study ended last because too many of its trials had failed."""
    ends = [event for event in past if event["event"] == "study_ended"]
    return bool(ends) and ends[-1]["state"] == StudyState.PAUSED and str(ends[-1]["reason"]).startswith("failures")

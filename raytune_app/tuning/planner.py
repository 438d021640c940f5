"""What a free slot does next: an interrupted trial, a resumed one, a new one, or one that confirms the winner."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raytune_app.spec.grammar import Experiment
from raytune_app.tuning.confirm import Job, confirm_jobs, refit_jobs
from raytune_app.tuning.events import EventLog
from raytune_app.tuning.schedule.base import Judgement, Resumption, Schedule
from raytune_app.tuning.schedule.catalog import build_schedule
from raytune_app.tuning.schedule.fifo import Fifo
from raytune_app.tuning.schedule.replay import Replay
from raytune_app.tuning.search.base import Learnt
from raytune_app.tuning.search.catalog import build_search
from raytune_app.tuning.space import trial_count, trial_seed
from raytune_app.tuning.stint import Stint
from raytune_app.tuning.told import told_of
from raytune_app.tuning.view import Event, Role, StudyView, TrialState, TrialView

Plan = Sequence[tuple[int, dict[str, Any]]]
_JOBS: dict[Role, Callable[[StudyView, Experiment], list[Job]]] = {Role.CONFIRM: confirm_jobs, Role.REFIT: refit_jobs}
_PHASE = {Role.BASELINE: Role.CONFIRM}
"""In which phase a role's trials run, where it is not the phase of that name."""

_NOTES = ("command", "output")
"""Events that change nothing about a trial."""
RESTARTED = "restarted"
"""Why a trial goes on that no schedule had paused."""


class Planner:
    """The schedule, the searcher and the phases of one study.

    Everything is decided from the log's view and from the calls of `follow`, which come with every event, also with
    those of a study that is resumed.

    Args:
        plan: further values of every trial of the search, by the epoch after which they hold: to train a schedule that
            another study found.
        learnt: what the searcher knows of another study's trials.

    Attributes:
        search_reason: why the search ended before its last trial (a budget); None while it goes on.
    """

    def __init__(self, experiment: Experiment, log: EventLog, plan: Plan = (), learnt: Learnt = ()) -> None:
        self._experiment, self._log = experiment, log
        self._schedule: Schedule = build_schedule(experiment)
        self._search = build_search(experiment)
        for values, told in learnt:
            self._search.learn(values, told)
        self._suggested = 0
        self._plan = tuple(plan)
        self._plans: dict[int, Schedule] = {}
        self._phases = [Role.SEARCH, Role.CONFIRM, Role.REFIT]
        self._jobs: list[Job] = []
        self.search_reason: str | None = None
        self.gpus: dict[int, float] = {}
        """Shares of a GPU of trials that need another than the study's."""

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return not self._phases

    @property
    def copies(self) -> bool:
        """Whether trials may still go on from the states of others."""
        return self._schedule.copies and self._phases[:1] == [Role.SEARCH]

    def judge(self, trial: TrialView, row: Mapping[str, Any]) -> Judgement:
        """What the trial's schedule says of this report."""
        objective = self._experiment.objective
        value = row.get(objective.metric)
        score = math.nan if value is None else objective.sign * value
        return self._schedule_of(trial).report(trial.number, row["epoch"], score)

    def next(self) -> Stint | None:
        """What a free slot should do; None if nothing now, or, once `over`, ever."""
        while not self.over:
            stint = self._restart() or self._resume() or self._start()
            if stint is not None or any(trial.state is TrialState.RUNNING for trial in self._trials()):
                return stint
            self._advance()
        return None

    def follow(self, event: Event) -> None:
        """Keep up with an event that the log's view holds already."""
        if "trial" not in event or event["event"] in _NOTES:
            return
        trial = self._log.view.trials[event["trial"]]
        match event["event"]:
            case "trial_started":
                self._follow_start(trial, event)
            case "trial_resumed" if event["reason"] != RESTARTED:
                resumption = Resumption(trial.number, event["source"], event["reason"], event["config"])
                self._schedule_of(trial).resumed(resumption)
            case "trial_paused":
                self._schedule_of(trial).paused(trial.number)
                self._tell(trial)
            case "trial_interrupted":
                self._follow_interruption(trial, event)
            case "trial_ended":
                self._schedule_of(trial).ended(trial.number)
                self._tell(trial)

    def _follow_interruption(self, trial: TrialView, event: Event) -> None:
        if "gpus" in event:
            self.gpus[trial.number] = event["gpus"]
        if "readmitted" in event:
            self._schedule_of(trial).readmitted(trial.number, trial.config)

    def _follow_start(self, trial: TrialView, event: Event) -> None:
        plan = [(int(epoch), values) for epoch, values in event.get("plan", [])]
        if plan or trial.role is not Role.SEARCH:
            self._plans[trial.number] = Replay(plan) if plan else Fifo()
        if trial.role is Role.SEARCH:
            index = self._index(trial)
            if index >= self._suggested:  # by an earlier process of this study
                self._search.recall(index, trial.config)
                self._suggested = index + 1
        self._schedule_of(trial).started(trial.number, trial.config)

    def _tell(self, trial: TrialView) -> None:
        if trial.role is Role.SEARCH:
            self._search.told(self._index(trial), told_of(trial, self._experiment))

    def _restart(self) -> Stint | None:
        """An interrupted trial of this phase goes on from its own last checkpoint."""
        if self._phases[0] is Role.SEARCH and self.search_reason:
            return None
        for trial in self._trials():
            if trial.state is TrialState.INTERRUPTED and _phase(trial) is self._phases[0]:
                return self._go_on_again(trial)
        return None

    def _resume(self) -> Stint | None:
        """A paused trial that its schedule lets go on."""
        if self._phases[0] is Role.SEARCH and self.search_reason:
            return None
        own = [self._schedule] if self._phases[0] is Role.SEARCH else []
        for schedule in (*own, *self._plans.values()):
            for resumption in schedule.resumptions(more=self._more()):
                return self._go_on(resumption, self._log.view.trials[resumption.source].saved_epoch)
        return None

    def _go_on_again(self, trial: TrialView) -> Stint:
        """From its own last state; from where its last stint began, if nothing of that was saved."""
        last = trial.stints[-1]
        if trial.saved_epoch > last.epoch or last.source is None:
            return self._go_on(Resumption(trial.number, trial.number, RESTARTED), trial.saved_epoch)
        return self._go_on(Resumption(trial.number, last.source, RESTARTED), last.source_epoch)

    def _go_on(self, resumption: Resumption, source_epoch: int) -> Stint:
        """From the source's state after `source_epoch`; a copy goes on at its own epoch."""
        trial = self._log.view.trials[resumption.trial]
        event = self._log.append(
            "trial_resumed",
            trial=trial.number,
            epoch=trial.saved_epoch,
            source=resumption.source,
            source_epoch=source_epoch,
            config=trial.config | dict(resumption.values),
            reason=resumption.reason,
        )
        self.follow(event)
        return self._stint(trial)

    def _start(self) -> Stint | None:
        """A trial that is new."""
        number = max(self._log.view.trials, default=-1) + 1
        if self._phases[0] is not Role.SEARCH:
            return self._begin(number, self._jobs.pop(0)) if self._jobs else None
        if not self._more() or not self._schedule.admits():
            return None
        values = self._search.suggest(self._suggested)
        self._suggested += 1
        return self._begin(number, Job(Role.SEARCH, None, values, self._plan))

    def _begin(self, number: int, job: Job) -> Stint:
        plan = [[epoch, values] for epoch, values in job.plan]
        about = {"config": job.values, "role": job.role.value, "of": job.of} | ({"plan": plan} if plan else {})
        self.follow(self._log.append("trial_started", trial=number, **about))
        return self._stint(self._log.view.trials[number])

    def _stint(self, trial: TrialView) -> Stint:
        stint = trial.stints[-1]
        source = None if stint.source is None else self._log.view.trials[stint.source]
        saved = source.checkpoints.get(stint.source_epoch) if source else None
        return Stint(
            trial=trial.number,
            index=len(trial.stints) - 1,
            values=trial.config,
            seed=trial_seed(self._experiment, trial.number),
            checkpoint=saved.path if saved else None,
            epoch=stint.epoch,
            gpus=self.gpus.get(trial.number),
            folds=trial.role in (Role.SEARCH, Role.CONFIRM),
        )

    def _advance(self) -> None:
        """Nothing trains and nothing can be started: the next phase begins, with what it has not begun before."""
        self._phases.pop(0)
        if self._phases:
            begun = Counter((trial.role, trial.of) for trial in self._trials())
            for job in _JOBS[self._phases[0]](self._log.view, self._experiment):
                if begun[job.role, job.of]:
                    begun[job.role, job.of] -= 1
                else:
                    self._jobs.append(job)

    def _more(self) -> bool:
        """Whether the search may still start trials."""
        searched = len(self._log.view.of_role(Role.SEARCH))
        return self.search_reason is None and searched < trial_count(self._experiment)

    def _schedule_of(self, trial: TrialView) -> Schedule:
        return self._plans.get(trial.number, self._schedule)

    def _index(self, trial: TrialView) -> int:
        """Which suggestion the trial has: confirming trials have numbers, but no suggestion."""
        return [each.number for each in self._log.view.of_role(Role.SEARCH)].index(trial.number)

    def _trials(self) -> list[TrialView]:
        return list(self._log.view.trials.values())


def _phase(trial: TrialView) -> Role:
    return _PHASE.get(trial.role, trial.role)

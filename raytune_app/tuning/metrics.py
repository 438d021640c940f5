"""A running study's numbers for Prometheus, through Ray: they come out at each node's metrics endpoint.

    with StudyMetrics(folder.study, experiment) as metrics:
        tune(prepared, [metrics])

Ray puts `ray_` before every name, and forgets a gauge that is not set again within two of its reports, 20 s. So the
gauges are set again all the while, and those of a study that has ended, or whose driver died, are gone within half a
minute: what is shown is what runs. Counters stay at their last value for as long as the node lives.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from raytune_app.spec import Experiment
from raytune_app.tuning.view import Event, Role, TrialState

REFRESH_S = 5.0
_BYTES_PER_MB = 2**20


class Kind(StrEnum):
    """How a measure moves."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: its name as Ray gets it, its unit in it.

    Attributes:
        tags: besides `study`. None has a value for each trial: a study may have thousands.
    """

    name: str
    kind: Kind
    meaning: str
    tags: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name at the metrics endpoint."""
        return f"ray_{self.name}" + ("_total" if self.kind is Kind.COUNTER else "")


EPOCHS = Measure("raytune_epochs", Kind.COUNTER, "Epochs that this study's driver has seen trained.")
EPOCH_SECONDS = Measure("raytune_epoch_seconds", Kind.COUNTER, "Seconds that these epochs took, validation included.")
FAULTS = Measure("raytune_trial_faults", Kind.GAUGE, "Trial processes of this study that died by their own doing.")
PLANNED = Measure("raytune_trials_planned", Kind.GAUGE, "Trials that the search may start.")
TRIALS = Measure("raytune_trials", Kind.GAUGE, "Trials by state.", ("state",))
BEST = Measure("raytune_best_score", Kind.GAUGE, "The search's best epoch so far, by the first objective.", ("metric",))
SPEED = Measure("raytune_examples_per_second", Kind.GAUGE, "Training examples a second, of all running trials.")
GPU_MEMORY = Measure(
    "raytune_gpu_memory_peak_bytes", Kind.GAUGE, "Most GPU memory that a running trial's tensors took; 0 without a GPU."
)
MEASURES = (EPOCHS, EPOCH_SECONDS, FAULTS, PLANNED, TRIALS, BEST, SPEED, GPU_MEMORY)

_Series = tuple[Measure, str]
"""A measure and the value of its own tag, empty if it has none."""


class StudyMetrics:
    """An observer of the event log; use as a context manager around the study, in a process connected to Ray.

    Without that connection it does nothing.

    Args:
        study: the id: the value of every metric's tag `study`.
        past: the events of a study that goes on; its counters begin at zero again.
    """

    def __init__(self, study: str, experiment: Experiment, past: Iterable[Event] = ()) -> None:
        self._study, self._objective = study, experiment.objective
        self._states: dict[int, TrialState] = {}
        self._counts = Counter[TrialState]()
        self._faults = 0
        self._searching: set[int] = set()
        self._running: dict[int, Event] = {}
        self._gauges: dict[_Series, float] = {}
        self._sinks: dict[Measure, Any] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="raytune-metrics", daemon=True)
        for event in past:
            self._follow(event)

    def __enter__(self) -> Self:
        import ray

        if ray.is_initialized():
            self._sinks = {measure: _sink(measure, self._study) for measure in MEASURES}
            self._show_zeros()
            self._send_all()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def __call__(self, event: Event) -> None:
        if not self._sinks:
            return
        self._follow(event)
        if event["event"] == "epoch":
            self._count(EPOCHS, 1)
            self._count(EPOCH_SECONDS, event.get("epoch_s"))

    def _refresh(self) -> None:
        """Ray forgets what is not repeated."""
        while not self._over.wait(REFRESH_S):
            self._send_all()

    def _send_all(self) -> None:
        with self._lock:
            for series in self._gauges:
                self._send(series)

    def _count(self, measure: Measure, more: float | None) -> None:
        if more:
            self._sinks[measure].inc(more)

    def _show(self, measure: Measure, number: float, value: str = "") -> None:
        with self._lock:
            self._gauges[measure, value] = number
            if self._sinks:
                self._send((measure, value))

    def _send(self, series: _Series) -> None:
        measure, value = series
        self._sinks[measure].set(self._gauges[series], dict.fromkeys(measure.tags, value))

    def _follow(self, event: Event) -> None:
        match event["event"]:
            case "study_started" | "study_resumed":
                self._show(PLANNED, event["trials"])
            case "trial_started":
                if event.get("role", Role.SEARCH) == Role.SEARCH:
                    self._searching.add(event["trial"])
                self._enter(event["trial"], TrialState.RUNNING)
            case "trial_resumed":
                self._enter(event["trial"], TrialState.RUNNING)
            case "epoch":
                self._running[event["trial"]] = event
                self._show_best(event)
                self._show_running()
            case "trial_paused":
                self._enter(event["trial"], TrialState.PAUSED)
            case "trial_interrupted":
                self._faults += bool(event["fault"])
                self._show(FAULTS, self._faults)
                self._enter(event["trial"], TrialState.INTERRUPTED)
            case "trial_ended":
                self._enter(event["trial"], TrialState(event["state"]))

    def _show_zeros(self) -> None:
        """What is absent could as well be a study that nobody watches."""
        for state in TrialState:
            self._show(TRIALS, self._counts[state], state.value)
        self._show(FAULTS, self._faults)
        self._show_running()

    def _enter(self, trial: int, state: TrialState) -> None:
        known = self._states.get(trial)
        before = [known] if known else []
        self._states[trial] = state
        self._counts.update([state])
        self._counts.subtract(before)
        for each in {state, *before}:
            self._show(TRIALS, self._counts[each], each.value)
        if state is not TrialState.RUNNING and trial in self._running:
            del self._running[trial]
            self._show_running()

    def _show_running(self) -> None:
        rows = self._running.values()
        self._show(SPEED, sum(row.get("examples_per_s") or 0.0 for row in rows))
        peak = max((row.get("peak_gpu_mb") or 0.0 for row in rows), default=0.0)
        self._show(GPU_MEMORY, peak * _BYTES_PER_MB)

    def _show_best(self, event: Event) -> None:
        metric, sign = str(self._objective.metric), self._objective.sign
        score, best = event.get(metric), self._gauges.get((BEST, metric))
        if score is None or event["trial"] not in self._searching or event.get("diverged"):
            return
        if best is None or sign * score > sign * best:
            self._show(BEST, score, metric)


def _sink(measure: Measure, study: str) -> Any:
    from ray.util import metrics

    sink = metrics.Gauge if measure.kind is Kind.GAUGE else metrics.Counter
    return sink(measure.name, measure.meaning, ("study", *measure.tags)).set_default_tags({"study": study})

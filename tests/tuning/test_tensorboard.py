"""What TensorBoard itself reads of a study: curves of every stint, and the HParams page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

from raytune_app.spec import Experiment, parse
from raytune_app.storage import Storage, StudyPaths
from raytune_app.tuning.folder import StudyFolder
from raytune_app.tuning.tensorboard import TensorBoard
from raytune_app.tuning.view import Event

AT = "2026-01-02T03:04:05.000+00:00"


@dataclass(frozen=True)
class Page:
    """What the HParams page would show.

    Attributes:
        kinds: of the hyperparameters, by name.
        metrics: their tags.
        groups: by name.
    """

    kinds: dict[str, int]
    metrics: list[str]
    groups: dict[str, Any]


def _page(folder: StudyFolder) -> Page:
    events = EventMultiplexer().AddRunsFromDirectory(folder.storage.full(folder.paths.tensorboard))
    events.Reload()
    context = Context(base_plugin.TBContext(data_provider=MultiplexerDataProvider(events, "study")))
    ask = api_pb2.GetExperimentRequest(include_metrics=True)
    experiment = get_experiment.Handler(RequestContext(), context, "study", ask).run()
    listing = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        slice_size=10_000,
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
        include_metrics=True,
    )
    found = list_session_groups.Handler(RequestContext(), context, "study", listing).run().session_groups
    kinds = {info.name: info.type for info in experiment.hparam_infos}
    return Page(kinds, [info.name.tag for info in experiment.metric_infos], {group.name: group for group in found})


def _values(group: Any) -> dict[str, Any]:
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}


def _metrics(group: Any) -> dict[str, float]:
    return {value.name.tag: round(value.value, 4) for value in group.metric_values}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(Storage(str(tmp_path)), StudyPaths("s"))


@pytest.fixture
def mixed() -> Experiment:
    """Searches numbers, booleans, texts, and what is either a number or nothing."""
    searched = {"flip": {"choice": [True, False]}, "depth": {"choice": [None, 3]}, "size": {"randint": [1, 9]}}
    content = {
        "name": "mixed",
        "data": {"name": "mnist"},
        "trial": "module:function",
        "params": {**searched, "kind": {"choice": ["a", "b"]}},
        "objective": {"metric": "score", "mode": "max"},
        "train": {"epochs": 3, "lr": {"loguniform": [1e-4, 1e-1]}},
        "trials": 4,
    }
    return parse(content)


def _started(trial: int, config: dict[str, Any], **changes: Any) -> Event:
    return {"event": "trial_started", "time": AT, "trial": trial, "config": config, "role": "search", **changes}


def _epochs(trial: int, *scores: float, after: int = 0, metric: str = "score") -> list[Event]:
    rows = [{"event": "epoch", "time": AT, "trial": trial, "rung": None, metric: score, "pid": 7} for score in scores]
    return [{**row, "epoch": after + place} for place, row in enumerate(rows, 1)]


def _ended(trial: int, state: str = "finished") -> Event:
    return {"event": "trial_ended", "time": AT, "trial": trial, "state": state, "error": None}


def _write(folder: StudyFolder, experiment: Experiment, new: list[Event], past: list[Event] | None = None) -> None:
    with TensorBoard(folder, experiment, past or []) as board:
        for event in new:
            board(event)


def test_the_page_compares_ended_trials_by_their_best_epoch(folder: StudyFolder, mixed: Experiment) -> None:
    config = {"params.flip": True, "params.depth": None, "params.size": 2, "params.kind": "a", "train.lr": 0.01}
    other = {**config, "params.flip": False, "params.depth": 3}
    events = [_started(0, config), *_epochs(0, 0.5, 0.75, 0.25), _ended(0)]
    events += [_started(1, other), *_epochs(1, 0.125), _ended(1, "failed"), _started(2, other), *_epochs(2, 0.5)]
    _write(folder, mixed, events)
    page = _page(folder)
    number, flag, text = api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_BOOL, api_pb2.DATA_TYPE_STRING
    kinds = {"params.flip": flag, "params.depth": text, "params.size": number, "params.kind": text}
    assert page.kinds == {**kinds, "train.lr": number}
    assert page.metrics == ["best/score", "best/epoch", "epochs"]
    assert set(page.groups) == {"trial-00000", "trial-00001"}, "a trial that still trains has no best yet"
    best, failed = page.groups["trial-00000"], page.groups["trial-00001"]
    assert _values(best) == {**config, "params.depth": "none"}
    assert _values(failed) == {**other, "params.depth": "3"}
    assert _metrics(best) == {"best/score": 0.75, "best/epoch": 2, "epochs": 3}
    assert [group.sessions[0].status for group in (best, failed)] == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]


def test_confirming_trials_stand_in_the_group_of_what_they_confirm(folder: StudyFolder, mixed: Experiment) -> None:
    config = {"train.lr": 0.01}
    events = [_started(0, config), *_epochs(0, 0.5), _ended(0)]
    for trial, score in ((1, 0.25), (2, 0.75)):
        events += [_started(trial, config, role="confirm", of=0), *_epochs(trial, score), _ended(trial)]
    _write(folder, mixed, events)
    (group,) = _page(folder).groups.values()
    assert len(group.sessions) == 3
    assert _metrics(group)["best/score"] == 0.5


def test_a_study_that_goes_on_writes_what_is_missing_and_what_changed(folder: StudyFolder, mixed: Experiment) -> None:
    past = [_started(0, {}), *_epochs(0, 0.5), _ended(0, "failed"), _started(1, {}), *_epochs(1, 0.25), _ended(1)]
    _write(folder, mixed, past)
    folder.storage.delete_file(f"{folder.paths.tensorboard}/trial-00001/hparams.tfevents")
    again = {"event": "trial_resumed", "time": AT, "trial": 0, "epoch": 1, "source": 0, "source_epoch": 1}
    resumed = [{**again, "config": {}, "reason": "readmitted"}, *_epochs(0, 0.75, after=1), _ended(0)]
    _write(folder, mixed, resumed, past)
    groups = _page(folder).groups
    assert _metrics(groups["trial-00001"]) == {"best/score": 0.25, "best/epoch": 1, "epochs": 1}
    assert _metrics(groups["trial-00000"]) == {"best/score": 0.75, "best/epoch": 2, "epochs": 2}
    assert groups["trial-00000"].sessions[0].status == api_pb2.STATUS_SUCCESS


def test_stints_that_begin_in_one_second_all_keep_their_curves(folder: StudyFolder, mixed: Experiment) -> None:
    again = {"event": "trial_resumed", "time": AT, "trial": 0, "source": 0, "config": {}, "reason": "promoted"}
    events = [_started(0, {})]
    for epoch in range(1, 6):
        events += [*_epochs(0, epoch / 10, after=epoch - 1), {"event": "trial_paused", "time": AT, "trial": 0}]
        events.append({**again, "epoch": epoch, "source_epoch": epoch})
    _write(folder, mixed, events)
    found = EventMultiplexer().AddRunsFromDirectory(folder.storage.full(folder.paths.tensorboard))
    found.Reload()
    assert [event.step for event in found.Tensors("trial-00000", "score")] == [1, 2, 3, 4, 5]
    with pytest.raises(KeyError):
        found.Tensors("trial-00000", "pid")


def test_a_thousand_trials_are_a_thousand_sessions(
    folder: StudyFolder, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # the disk's time is not what this is about
    events: list[Event] = []
    for trial in range(1000):
        values = {"model.channels": 4 + 4 * (trial % 2), "train.lr": 1e-4 * (1 + trial)}
        events += [_started(trial, values), *_epochs(trial, trial / 1000, metric="accuracy"), _ended(trial)]
    _write(folder, experiment, events)
    groups = _page(folder).groups
    assert len(groups) == 1000
    assert _metrics(groups["trial-00999"])["best/accuracy"] == 0.999

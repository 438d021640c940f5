"""What TensorBoard's HParams page is made of: one account of the study, and one of every trial that has ended.

TensorBoard keeps the first account that it finds in a folder, so each is one small file that is written whole, and
written again when it changes. Its name sorts behind those of the event files: TensorBoard never reads backwards.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboardX.proto import api_pb2, event_pb2, plugin_hparams_pb2
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from raytune_app.spec import Experiment
from raytune_app.spec.domains import Domain
from raytune_app.tuning.view import TrialState, TrialView

FILE = "hparams.tfevents"
_SUCCESSFUL = (TrialState.FINISHED, TrialState.STOPPED)
_EPOCH, _EPOCHS = "best/epoch", "epochs"


def study_account(experiment: Experiment) -> bytes:
    """An event file that says what the study searches, and by which metrics its trials are compared."""
    infos = [_searched(path, domain) for path, domain in sorted(experiment.domains().items())]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), dataset_type=api_pb2.DATASET_VALIDATION)
        for tag in (*(_best(str(objective.metric)) for objective in experiment.objectives), _EPOCH, _EPOCHS)
    ]
    told = api_pb2.Experiment(name=experiment.name, hparam_infos=infos, metric_infos=metrics)
    return _file([_summary("experiment", experiment=told)])


def trial_account(trial: TrialView, experiment: Experiment, name: str, ended: str) -> bytes:
    """An event file of a trial that has ended: its configuration, its best epoch, how it ended.

    A trial that confirms another one stands in that one's group.

    Args:
        name: of the group.
        ended: ISO 8601.
    """
    domains = experiment.domains()
    start = plugin_hparams_pb2.SessionStartInfo(group_name=name)
    for path, value in trial.config.items():
        _put(start.hparams[path], _plain(value, _kind(domains[path].edges() if path in domains else [value])))
    status = api_pb2.STATUS_SUCCESS if trial.state in _SUCCESSFUL else api_pb2.STATUS_FAILURE
    end = plugin_hparams_pb2.SessionEndInfo(status=status, end_time_secs=datetime.fromisoformat(ended).timestamp())
    began = _summary("session_start_info", session_start_info=start)
    return _file([began, _summary("session_end_info", session_end_info=end)], _scores(trial, experiment))


def _scores(trial: TrialView, experiment: Experiment) -> Iterable[tuple[str, float, int]]:
    """Tag, value and step of all that the trials are compared by: of the best epoch by the first objective."""
    best = trial.best(str(experiment.objective.metric), experiment.objective.sign)
    if best is not None:
        for objective in experiment.objectives:
            value = best.get(str(objective.metric))
            if value is not None:
                yield _best(str(objective.metric)), value, best["epoch"]
        yield _EPOCH, best["epoch"], best["epoch"]
    yield _EPOCHS, len(trial.epochs), len(trial.epochs)


def _best(metric: str) -> str:
    return f"best/{metric}"


def _searched(path: str, domain: Domain) -> api_pb2.HParamInfo:
    kind = _kind(domain.edges())
    names = {bool: "DATA_TYPE_BOOL", float: "DATA_TYPE_FLOAT64", str: "DATA_TYPE_STRING"}
    info = api_pb2.HParamInfo(name=path, type=api_pb2.DataType.Value(names[kind]))
    if domain.is_listed:
        for value in domain.arguments:
            _put(info.domain_discrete.values.add(), _plain(value, kind))
    else:
        low, high = domain.arguments[:2]
        info.domain_interval.min_value, info.domain_interval.max_value = low, high
    return info


def _kind(values: Sequence[Any]) -> type[bool | float | str]:
    """How all of these can be written alike: TensorBoard has numbers, booleans and texts, and one kind a column."""
    if all(isinstance(value, bool) for value in values):
        return bool
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return float if numbers else str


def _plain(value: Any, kind: type[bool | float | str]) -> bool | float | str:
    if kind is not str:
        return kind(value)
    return value if isinstance(value, str) else "none" if value is None else str(value)


def _put(target: Any, value: bool | float | str) -> None:  # noqa: FBT001  # a value, not a switch
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, float):
        target.number_value = value
    else:
        target.string_value = value


def _summary(tag: str, **content: Any) -> Summary:
    told = plugin_hparams_pb2.HParamsPluginData(version=0, **content).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=told)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{tag}", metadata=SummaryMetadata(plugin_data=plugin))])


def _file(summaries: Iterable[Summary], scores: Iterable[tuple[str, float, int]] = ()) -> bytes:
    now = time.time()
    events = [event_pb2.Event(wall_time=now, file_version="brain.Event:2")]
    events += [event_pb2.Event(wall_time=now, summary=summary) for summary in summaries]
    events += [event_pb2.Event(wall_time=now, step=step, summary=scalar(tag, value)) for tag, value, step in scores]
    with tempfile.TemporaryDirectory(prefix="raytune-hparams-") as folder:
        writer = RecordWriter(f"{folder}/{FILE}")
        for event in events:
            writer.write(event.SerializeToString())
        writer.close()
        return Path(folder, FILE).read_bytes()


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration as indented lines, which TensorBoard shows as they are."""
    return "\n".join(f"    {path}: {value}" for path, value in config.items())

"""What the model configuration and statistics extensions tell of a version, in the shapes that Triton gave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from serving.versions.batching import MAX_BATCH
from serving.watch.statistics import Snapshot
from serving.wire.inputs import Inputs
from serving.wire.protocol import PLATFORM, model_metadata

_NS = 1e9


def model_config(name: str, versions: Sequence[int], inputs: Inputs[Any, Any], labels: Sequence[str]) -> dict[str, Any]:
    """What a model takes and answers; `dims` are without the batch, which may be up to `max_batch_size`."""
    metadata = model_metadata(name, versions, inputs, labels)
    taken = [{**_tensor(each), "format": _layout(each["shape"])} for each in metadata["inputs"]]
    return {
        "name": name,
        "platform": PLATFORM,
        "version_policy": {"specific": {"versions": list(versions)}},
        "max_batch_size": inputs.max_batch,
        "input": taken,
        "output": [_tensor(each) for each in metadata["outputs"]],
        "dynamic_batching": {"preferred_batch_size": [MAX_BATCH], "max_queue_delay_microseconds": 0},
    }


def model_statistics(versions: Iterable[tuple[str, str, Snapshot]]) -> dict[str, Any]:
    """Counts and nanoseconds of each (name, version, snapshot); a count of 0 stands where nothing is measured."""
    return {"model_stats": [_statistics(*each) for each in versions]}


def _statistics(name: str, version: str, snapshot: Snapshot) -> dict[str, Any]:
    examples, nothing = snapshot["examples"], _duration(0, 0.0)
    return {
        "name": name,
        "version": version,
        "last_inference": int(snapshot["last_at"] * 1000),
        "inference_count": examples,
        "execution_count": snapshot["executions"],
        "inference_stats": {
            "success": _duration(snapshot["requests"], snapshot["request_s"]),
            "fail": _duration(snapshot["failures"], snapshot["failure_s"]),
            "queue": _duration(examples, snapshot["queue_s"]),
            "compute_input": nothing,
            "compute_infer": _duration(snapshot["executions"], snapshot["compute_s"]),
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * _NS)}


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    datatype = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": tensor["shape"][1:]}


def _layout(shape: Sequence[int]) -> str:
    return "FORMAT_NCHW" if len(shape) == 4 else "FORMAT_NONE"

"""Runs on a cluster, as a job or from a process that is attached: looks at every node and tells facts, no opinions.

    python -m raytune_app.cluster.probe

`findings` in `raytune_app.cluster.check` judges the facts, somewhere else. A node may lack nearly anything, so only the
standard library, psutil and Ray are imported, and what fails is a fact too.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

MARK = "raytune cluster facts: "
"""Begins the line of output that has the facts as JSON."""

VARIABLE = "RAYTUNE_CHECK"
"""Has a job's `Request` as JSON, so that nothing of it is on a command line."""

STORAGE_VARIABLE = "RAYTUNE_STORAGE"
OWN = "raytune"
MODULE = "raytune_app/__init__.py"
PACKAGES = ("ray", OWN, "torch")
PLACES = {"disk": "/tmp", "shm": "/dev/shm"}  # noqa: S108  # Ray's own places
NODE_DEADLINE_S = 60.0
CLOCK_READINGS = 5
SETTLE_S = 5.0
"""How long a network disk may take to show one machine what another wrote."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked about the storage.

    Attributes:
        storage: a URI; empty: what the environment says, and if that is empty too, nothing.
        folder: below its root, where everyone who looks leaves a note.
        notes: whose notes should be there already.
    """

    storage: str = ""
    folder: str = ""
    notes: tuple[str, ...] = ()


def node_facts(node: str, request: Request) -> dict[str, Any]:
    """What is so on the node where this runs."""
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        **versions(),
        "token": token_facts(),
        "kubernetes": "KUBERNETES_SERVICE_HOST" in os.environ,
        "listening": listening(),
        **{name: _room(place) for name, place in PLACES.items()},
        "gpus_seen": _gpus_seen(),
        "storage": storage_facts(node, request),
    }


def versions() -> dict[str, str | None]:
    """Of packages as they are installed, not as a job brings them along; None: not installed."""
    found = dict[str, str | None]()
    for name in PACKAGES:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
        else:
            found[name] = (_source_version(distribution) if name == OWN else None) or distribution.version
    return found


def _source_version(distribution: importlib.metadata.Distribution) -> str | None:
    """What this package says of itself where it is installed: an editable one is newer than its metadata."""
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    root = unquote(urlsplit(origin.get("url", "")).path) if "dir_info" in origin else ""
    editable = bool(origin.get("dir_info", {}).get("editable"))
    source = Path(root, MODULE) if editable else Path(str(distribution.locate_file(MODULE)))
    with suppress(OSError):
        if said := re.search(r'^__version__ = "([^"]+)"', source.read_text(encoding="utf-8"), re.MULTILINE):
            return said[1]
    return None


def token_facts() -> dict[str, Any]:
    """Whether Ray asks for a token, and who may read the file that it lies in; never the token."""
    facts: dict[str, Any] = {"mode": os.environ.get("RAY_AUTH_MODE", "disabled"), "file": None, "readable": None}
    if "RAY_AUTH_TOKEN" not in os.environ:
        file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
        with suppress(OSError):
            facts |= {"file": str(file), "readable": bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))}
    return facts


def listening() -> list[list[Any]]:
    """Where something listens on this machine: [address, port] each, sorted."""
    import psutil

    try:
        found = {(each.laddr.ip, each.laddr.port) for each in psutil.net_connections("tcp") if each.status == "LISTEN"}
    except (OSError, psutil.Error):
        return []
    return [list(place) for place in sorted(found)]


def storage_facts(name: str, request: Request) -> dict[str, Any]:
    """Look whose notes are in the storage, and leave one of this name if all are there.

    So nothing is left behind in a folder that is not the storage, and none is made.
    """
    uri = request.storage or os.environ.get(STORAGE_VARIABLE, "")
    facts: dict[str, Any] = {"uri": uri, "missing": [], "error": None}
    if not uri or not request.folder:
        return facts
    try:
        if "://" not in uri:
            Path(uri).expanduser().resolve(strict=True)
        facts["missing"] = missing_notes(uri, request.folder, request.notes)
        if not facts["missing"]:
            _storage(uri).write(f"{request.folder}/{name}", b"")
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the fact
        facts["error"] = one_line(error)
    return facts


def left_a_note(storage: Mapping[str, Any]) -> bool:
    """Whether who told these facts has written to the storage."""
    return bool(storage["uri"]) and storage["error"] is None and not storage["missing"]


def missing_notes(uri: str, folder: str, notes: Iterable[str]) -> list[str]:
    """Those that do not appear. Raises RaytuneError if the storage cannot be used."""
    storage, deadline = _storage(uri), time.monotonic() + SETTLE_S
    missing = list(notes)
    while missing := [note for note in missing if not storage.exists(f"{folder}/{note}")]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return missing


def _storage(uri: str) -> Any:
    from raytune_app.storage import Storage

    return Storage(uri)


def one_line(error: BaseException) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]


def cluster_facts(request: Request) -> dict[str, Any]:
    """Of the cluster that this process is connected to, and of each node that is alive."""
    import ray

    request = replace(request, storage=request.storage or os.environ.get(STORAGE_VARIABLE, ""))
    own = storage_facts("driver", request)
    usable = bool(request.folder) and left_a_note(own)
    visit = replace(request, notes=(*request.notes, "driver")) if usable else request
    alive = [node for node in ray.nodes() if node["Alive"]]
    started = [(node, _run(node_facts, node["NodeID"], node["NodeID"], visit)) for node in alive]
    nodes = [_collected(node, reference) for node, reference in started]
    if usable:
        wrote = [node["id"] for node in nodes if node["error"] is None and left_a_note(node["storage"])]
        own["unseen"] = missing_notes(own["uri"], request.folder, wrote)
        if not request.notes:  # nobody outside is there to take the folder away
            _storage(own["uri"]).delete(request.folder)
    context = ray.get_runtime_context()
    return {
        "driver": {"python": platform.python_version(), **versions(), "storage": own},
        "gcs": context.gcs_address,
        "dashboard": context.worker.node.webui_url or None,
        "nodes": sorted(nodes, key=lambda node: (not node["head"], node["address"])),
    }


def _run(function: Any, node_id: str, *arguments: Any) -> Any:
    """A reference to what a task on this very node returns; it takes no processor, so it never waits for trials."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(*arguments)


def _collected(node: dict[str, Any], reference: Any) -> dict[str, Any]:
    import ray

    facts = {
        "id": node["NodeID"],
        "name": node["NodeManagerHostname"],
        "address": node["NodeManagerAddress"],
        "head": "node:__internal_head__" in node["Resources"],
        "resources": {name: amount for name, amount in node["Resources"].items() if not name.startswith("node:")},
        "error": None,
    }
    try:
        facts |= ray.get(reference, timeout=NODE_DEADLINE_S)
        facts["clock"] = asdict(_clock(node["NodeID"]))
    except Exception as error:  # noqa: BLE001  # the node's own errors come through here, of any type
        facts["error"] = one_line(getattr(error, "cause", None) or error)
    return facts


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a node's clock is ahead of this process's, in seconds, and how wrong that may be."""

    ahead_s: float
    error_s: float


def _clock(node_id: str) -> Clock:
    """The narrowest of some readings: the answer was on its way both times, nobody knows how long each."""
    import ray

    readings = []
    for _ in range(CLOCK_READINGS):
        before = time.time()
        there = ray.get(_run(_now, node_id), timeout=NODE_DEADLINE_S)
        after = time.time()
        readings.append(Clock(there - (before + after) / 2, (after - before) / 2))
    return min(readings, key=lambda clock: clock.error_s)


def _now() -> float:
    return time.time()


def _room(place: str) -> dict[str, Any] | None:
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return None
    return {"path": place, "total": usage.total, "free": usage.free}


def _gpus_seen() -> int | None:
    """How many GPUs NVIDIA's driver shows on this node; None if there is no such driver."""
    try:
        return len(list(Path("/proc/driver/nvidia/gpus").iterdir()))
    except OSError:
        return None


def main() -> None:
    """As a job: print the facts."""
    import logging

    import ray

    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    asked = json.loads(os.environ.get(VARIABLE) or "{}")
    request = Request(asked.get("storage", ""), asked.get("folder", ""), tuple(asked.get("notes", ())))
    print(MARK + json.dumps(cluster_facts(request)), flush=True)  # noqa: T201  # its output is its result


if __name__ == "__main__":
    main()

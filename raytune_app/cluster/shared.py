"""Whether every machine that trials may run on sees the same storage folder, asked before anything is lost.

A marker is written here and read on each other machine, which writes an answer that is read here: a folder of the same
name on a disk of its own is found out as well as one that is not there.
"""

from __future__ import annotations

import logging
import platform
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytune_app.errors import InputError
from raytune_app.filesystem import local_root
from raytune_app.storage import Storage, StudyPaths

_log = logging.getLogger(__name__)
HERE = "here"
ANSWER_S = 30.0
"""How long all machines together may take."""
SETTLE_S = 5.0
"""How long a network disk may take to show one machine what another wrote."""
_NAMED = 5  # of the machines in the error's line
_REMEDY = (
    "with --storage give a path on a network disk (NFS) that is mounted on every machine at the same place, "
    "or s3://bucket/folder"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One node of another machine."""

    node: str
    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


Ask = Callable[[Collection[Machine], str, str, str], Mapping[Machine, str | None]]


def check_shared(storage: Storage, labels: Mapping[str, str] | None = None) -> None:
    """Refuse a local folder that a machine on which trials may run does not see, or sees another one in its place.

    Needs a connected Ray. Does nothing on an object store, or if this is the only machine.

    Args:
        labels: of the nodes on which trials may run.

    Raises:
        InputError: names the machines, and what each of them lacks.
        StorageError: the storage cannot be written.
    """
    import ray

    if not storage.is_local:
        return
    machines = other_machines(ray.nodes(), ray.get_runtime_context().get_node_id(), labels or {})
    if machines:
        compare(storage, machines, _ask)


def compare(storage: Storage, machines: Collection[Machine], ask: Ask) -> None:
    """`check_shared` for these machines. Raises InputError and StorageError as it does.

    Args:
        ask: what each machine lacks, given the storage's root, a folder below it and the word that stands there; None
            for one that says nothing: it may have just died, and if it lives its trials look for themselves.
    """
    folder = f".shared-{secrets.token_hex(8)}"
    word = secrets.token_hex(16)
    storage.write(f"{folder}/{HERE}", word)
    try:
        found = ask(machines, storage.root, folder, word)
        deadline = time.monotonic() + SETTLE_S
        heard = [each for each in machines if found[each] is not None]
        lacks = {each: found[each] or _unseen(storage, f"{folder}/{each.node}", deadline) for each in heard}
    finally:
        storage.delete(folder)
    if lacking := {machine: lack for machine, lack in lacks.items() if lack}:
        raise not_shared(storage.root, lacking)


def check_seen(storage_uri: str, study_folder: str) -> None:
    """On a trial's machine, before anything is made there: the study's folder must be there already.

    Raises InputError, for a machine that came to the cluster after `check_shared`.
    """
    root = local_root(storage_uri)
    state = StudyPaths(study_folder.rpartition("/")[2]).state
    if root is not None and not Path(root, state).exists():
        raise not_shared(root, {platform.node(): "does not have the study's folder"})


def other_machines(nodes: Iterable[Mapping[str, Any]], own: str, labels: Mapping[str, str]) -> list[Machine]:
    """One node for each other machine that trials may run on.

    Args:
        nodes: as `ray.nodes()` gives them.
        own: the id of the node that this process is on.
    """
    living = [node for node in nodes if node["Alive"]]
    here = {node["NodeManagerAddress"] for node in living if node["NodeID"] == own}
    found: dict[str, Machine] = {}
    for node in living:
        address = node["NodeManagerAddress"]
        takes_trials = node["Resources"].get("CPU", 0) > 0 and labels.items() <= node.get("Labels", {}).items()
        if takes_trials and address not in here:
            found.setdefault(address, Machine(node["NodeID"], node["NodeManagerHostname"], address))
    return list(found.values())


def not_shared(root: str, lacking: Mapping[Any, str]) -> InputError:
    """The error for a folder that these machines do not share, each with what it lacks."""
    said = [f"{machine} {lack}" for machine, lack in lacking.items()]
    more = f", and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return InputError(f"the storage {root} is not shared by all machines: {', '.join(said[:_NAMED])}{more}", _REMEDY)


def look(root: str, folder: str, word: str, node: str) -> str:
    """On another machine: read the word that was written there, and answer. Returns what is lacking; empty if nothing.

    Makes no folder: a storage that is not mounted must not appear as an empty one.
    """
    here = Path(root) / folder
    deadline = time.monotonic() + SETTLE_S
    try:
        while not (here / HERE).exists():
            if time.monotonic() > deadline:
                return "has another folder there" if Path(root).is_dir() else "has no such folder"
            time.sleep(0.1)
        if (here / HERE).read_text() != word:
            return "has another folder there"
        (here / node).write_text(word)
    except OSError as error:
        return f"cannot use it: {error.strerror or type(error).__name__}"
    return ""


def _ask(machines: Collection[Machine], root: str, folder: str, word: str) -> dict[Machine, str | None]:
    """What each machine lacks as far as it sees; all at once."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    pending = {}
    for machine in machines:
        there = NodeAffinitySchedulingStrategy(machine.node, soft=False)
        task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(look)
        pending[machine] = task.remote(root, folder, word, machine.node)
    ray.wait(list(pending.values()), num_returns=len(pending), timeout=ANSWER_S)
    return {machine: _answer(task) for machine, task in pending.items()}


def _answer(task: Any) -> str | None:
    import ray

    try:
        return str(ray.get(task, timeout=0))
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
    except ray.exceptions.RayError as error:
        _log.info("a machine could not be asked for the storage: %s", error)
    return None


def _unseen(storage: Storage, path: str, deadline: float) -> str:
    """What the other machine wrote must be here too."""
    while not storage.exists(path):
        if time.monotonic() > deadline:
            return "writes to another folder"
        time.sleep(0.1)
    return ""

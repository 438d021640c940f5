"""What one trial takes of the cluster and how many run at once; what can never be given is refused at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raytune_app.errors import ResourceError
from raytune_app.spec.grammar import ResourcesSpec

MB = 2**20
CONTEXT_MB = 800.0
"""What a process takes of a GPU's memory before its first tensor: CUDA's context and the libraries' workspaces."""
PEAK_MARGIN = 1.3
"""Allocators fragment, and a few steps may not have met the largest batch."""
MAX_PER_GPU = 16
"""More processes take turns rather than run side by side."""
PRECISION = 10_000
"""Ray counts resources to four digits."""


@dataclass(frozen=True, slots=True)
class TrialResources:
    """One trial's share, and how many trials run at once.

    Attributes:
        gpus: a fraction shares one.
        memory_mb: of main memory that Ray sets aside; None if it is not counted.
        custom: Ray's custom resources, by name.
        labels: what a node must be labelled with.
        workers: processes that train one trial together; all the rest, but `slots`, is one worker's share.
    """

    cpus: int
    gpus: float
    slots: int
    memory_mb: int | None = None
    custom: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1

    def bundle(self, gpus: float | None = None) -> dict[str, float]:
        """As Ray counts them, by Ray's names; `gpus` for a trial that needs another share."""
        memory = {} if self.memory_mb is None else {"memory": float(self.memory_mb * MB)}
        shares = {"CPU": float(self.cpus), "GPU": self.gpus if gpus is None else gpus, **memory, **self.custom}
        return {name: amount for name, amount in shares.items() if amount}


def allot(asked: ResourcesSpec, nodes: Sequence[Mapping[str, float]], trials: int, workers: int = 1) -> TrialResources:
    """Fit the asked resources into the nodes'.

    Args:
        asked: by one trial, or by each of its workers.
        nodes: the `Resources` of each living node that has the asked labels, as `ray.nodes()` has them; a trial never
            spans two, unless it has several workers, of which none does.
        trials: how many there are to run.
        workers: of one trial.

    Raises:
        ResourceError: no node has what one trial, or one worker, takes, or all nodes together hold too few workers.
    """
    if not nodes:
        raise ResourceError(f"no node has the labels {dict(asked.labels)}", "mend `resources.labels`, or start one")
    most_gpus = _most(nodes, "GPU")
    gpus = min(1.0, most_gpus) if asked.gpus == "auto" else float(asked.gpus)
    share = TrialResources(asked.cpus, gpus, 1, asked.memory_mb, asked.custom, asked.labels)
    for name, amount in share.bundle().items():
        if amount > _most(nodes, name):
            raise ResourceError(*_refusal(name, amount, _most(nodes, name)))
    fit = sum(_fit(node, share.bundle()) for node in nodes)
    if fit == 0:
        raise ResourceError("no node of the cluster has all that one trial takes together", "ask for less")
    if fit < workers:
        remedy = "lower `parallel.workers`, or what each takes in `resources`"
        raise ResourceError(f"a trial takes {workers} workers, the cluster has room for {fit}", remedy)
    slots = min(fit // workers, asked.concurrent or fit, trials)
    return TrialResources(asked.cpus, gpus, slots, asked.memory_mb, asked.custom, asked.labels, workers)


def gpu_share(peak_mb: float, total_mb: float) -> float:
    """The part of a GPU that one trial needs, so that as many as fit share it; 1 if only one does.

    Args:
        peak_mb: the most that one trial's tensors took in a few measured steps.
        total_mb: the GPU's memory.
    """
    trials = min(MAX_PER_GPU, int(total_mb // (PEAK_MARGIN * peak_mb + CONTEXT_MB)))
    return math.floor(PRECISION / max(trials, 1)) / PRECISION


def _most(nodes: Sequence[Mapping[str, float]], name: str) -> float:
    return max(node.get(name, 0.0) for node in nodes)


def _refusal(name: str, wanted: float, there: float) -> tuple[str, str]:
    """What is missing, and the remedy."""
    match name:
        case "GPU":
            remedy = "set `resources: {gpus: auto}` or start a cluster with GPUs"
            return f"a trial asks for {wanted:g} GPU, the cluster has {there:g} on a node", remedy
        case "CPU":
            return f"a trial asks for {wanted:g} CPUs, the cluster has {there:g} on a node", "lower `resources.cpus`"
        case "memory":
            said = f"a trial asks for {wanted / MB:,.0f} MB of memory, the cluster has {there / MB:,.0f} on a node"
            return said, "lower `resources.memory_mb`"
    said = f"a trial asks for {wanted:g} of the resource {name!r}, the cluster has {there:g} on a node"
    return said, f"start nodes with it, or mend `resources.custom.{name}`"


def _fit(node: Mapping[str, float], bundle: Mapping[str, float]) -> int:
    """How many trials the node holds; a fraction never spans two GPUs."""
    room = [
        _shares(amount, node.get(name, 0.0)) if name == "GPU" else math.floor(node.get(name, 0.0) / amount + 1e-9)
        for name, amount in bundle.items()
    ]
    return int(min(room))


def _shares(wanted: float, gpus: float) -> float:
    return gpus // wanted if wanted >= 1 else math.floor(gpus) * math.floor(1 / wanted + 1e-9)

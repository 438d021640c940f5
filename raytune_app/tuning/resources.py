"""What one trial takes of the cluster and how many run at once; what can never be given is refused at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_app.errors import ResourceError
from raytune_app.spec.grammar import ResourcesSpec


@dataclass(frozen=True, slots=True)
class TrialResources:
    """One trial's CPUs and GPUs (a fraction shares one), and how many trials run at once."""

    cpus: int
    gpus: float
    slots: int


def allot(asked: ResourcesSpec, nodes: Sequence[Mapping[str, float]], trials: int) -> TrialResources:
    """Fit the asked resources into the nodes'.

    Args:
        asked: by one trial.
        nodes: the `Resources` of each living node, as `ray.nodes()` has them; a trial never spans two.
        trials: how many there are to run.

    Raises:
        ResourceError: no node has what one trial takes.
    """
    cpus, gpus = (max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in ("CPU", "GPU"))
    wanted_gpus = min(1.0, gpus) if asked.gpus == "auto" else float(asked.gpus)
    if wanted_gpus > gpus:
        raise ResourceError(
            f"a trial asks for {wanted_gpus:g} GPU, the cluster has {gpus:g} on a node",
            "set `resources: {gpus: auto}` or start a cluster with GPUs",
        )
    if asked.cpus > cpus:
        raise ResourceError(
            f"a trial asks for {asked.cpus} CPUs, the cluster has {cpus:g} on a node", "lower `resources.cpus`"
        )
    fit = sum(_fit(node, asked.cpus, wanted_gpus) for node in nodes)
    if fit == 0:
        raise ResourceError("no node of the cluster has the CPUs and the GPUs of one trial together", "ask for less")
    return TrialResources(asked.cpus, wanted_gpus, min(fit, asked.concurrent or fit, trials))


def _fit(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    return int(min(node.get("CPU", 0.0) // cpus, _shares(gpus, node.get("GPU", 0.0))))


def _shares(wanted: float, gpus: float) -> float:
    """How many trials the GPUs hold; a fraction never spans two GPUs."""
    if wanted == 0:
        return float("inf")
    return gpus // wanted if wanted >= 1 else gpus * math.floor(1 / wanted + 1e-9)

"""What one trial takes of the cluster and how many run at once; what can never be given is refused at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from raytune_app.errors import ResourceError
from raytune_app.spec.grammar import ResourcesSpec


@dataclass(frozen=True, slots=True)
class TrialResources:
    """One trial's CPUs and GPUs (a fraction shares one), and how many trials run at once."""

    cpus: int
    gpus: float
    slots: int


def allot(asked: ResourcesSpec, cluster: Mapping[str, float], trials: int) -> TrialResources:
    """Fit the asked resources into the cluster's (`ray.cluster_resources()`).

    Raises:
        ResourceError: the cluster has fewer CPUs or GPUs than one trial takes.
    """
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    wanted_gpus = min(1.0, gpus) if asked.gpus == "auto" else float(asked.gpus)
    if wanted_gpus > gpus:
        raise ResourceError(
            f"a trial asks for {wanted_gpus:g} GPU, the cluster has {gpus:g}",
            "set `resources: {gpus: auto}` or start a cluster with GPUs",
        )
    if asked.cpus > cpus:
        raise ResourceError(f"a trial asks for {asked.cpus} CPUs, the cluster has {cpus:g}", "lower `resources.cpus`")
    fit = int(min(cpus // asked.cpus, _shares(wanted_gpus, gpus)))
    return TrialResources(asked.cpus, wanted_gpus, max(1, min(fit, asked.concurrent or fit, trials)))


def _shares(wanted: float, gpus: float) -> float:
    """How many trials the GPUs hold; a fraction never spans two GPUs."""
    if wanted == 0:
        return float("inf")
    return gpus // wanted if wanted >= 1 else gpus * math.floor(1 / wanted + 1e-9)

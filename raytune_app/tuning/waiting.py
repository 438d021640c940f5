"""Why a trial does not run yet: what it asks for against what each node has free. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MB = 2**20
SHOWN = 3
"""Nodes that a sentence names."""


@dataclass(frozen=True, slots=True)
class Node:
    """A living node: what it has and what is free of it, by Ray's names of resources."""

    name: str
    address: str
    resources: Mapping[str, float]
    available: Mapping[str, float]


def why(asked: Mapping[str, float], nodes: Sequence[Node]) -> str:
    """One line: where it could run and what is taken there, or that no node can ever run it."""
    wanted = " and ".join(amount(name, value) for name, value in asked.items()) or "nothing"
    able = [node for node in nodes if _fits(asked, node.resources)]
    if not able:
        return f"no node that is there has {wanted}; it waits for one that has"
    if any(_fits(asked, node.available) for node in able):
        return f"{wanted} is free; its process is starting"
    taken = "; ".join(_taken(asked, node) for node in able[:SHOWN])
    more = f"; and {len(able) - SHOWN} nodes more" if len(able) > SHOWN else ""
    return f"needs {wanted}: {taken}{more}"


def amount(name: str, value: float) -> str:
    """`2 CPU`, `0.25 GPU`, `512 MB of memory`."""
    return f"{value / MB:,.0f} MB of memory" if name == "memory" else f"{value:g} {name}"


def _fits(asked: Mapping[str, float], there: Mapping[str, float]) -> bool:
    return all(there.get(name, 0.0) + 1e-9 >= value for name, value in asked.items())


def _taken(asked: Mapping[str, float], node: Node) -> str:
    short = [name for name, value in asked.items() if node.available.get(name, 0.0) + 1e-9 < value]
    told = ", ".join(f"{node.available.get(name, 0.0):g} of {node.resources.get(name, 0.0):g} {name}" for name in short)
    return f"{node.name} has {told} free"

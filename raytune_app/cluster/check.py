"""What is wrong with a running cluster, judged from facts that `raytune_app.cluster.survey` brings. Pure.

for finding in findings(facts):
    print(finding.severity, finding.what, finding.remedy)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Facts = Mapping[str, Any]

SKEW_S = 2.0
"""Clocks may be so far apart: what happened first is told by them, and a driver that is silent is taken for lost."""
FULL = 0.95
"""Of a disk: above it Ray makes no more objects."""
SMALL_DISK = 10 * 2**30
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # looked for, never used
SERVE_PORTS = {8000: "HTTP", 9000: "gRPC", 8404: "HAProxy's statistics", 9101: "HAProxy's metrics"}
CLOSE = "let a firewall or security group admit the cluster's own machines only"


class Severity(StrEnum):
    """A problem will cost work or let others in; a note is worth knowing."""

    PROBLEM = "problem"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a cluster: how bad, what is so, and what to do."""

    severity: Severity
    what: str
    remedy: str


def findings(facts: Facts) -> list[Finding]:
    """Everything worth saying, problems first.

    Args:
        facts: as `raytune_app.cluster.survey` returns them.
    """
    rules = (_runs, _token, _versions, _package, _storage, _clocks, _ports, _room, _gpus)
    found = [finding for rule in rules for finding in rule(facts)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.PROBLEM)


def _problem(what: str, remedy: str) -> Finding:
    return Finding(Severity.PROBLEM, what, remedy)


def _note(what: str, remedy: str) -> Finding:
    return Finding(Severity.NOTE, what, remedy)


def _looked_at(facts: Facts) -> list[Facts]:
    return [node for node in facts["nodes"] if node["error"] is None]


def _runs(facts: Facts) -> Iterator[Finding]:
    if facts["failed"]:
        remedy = "see the job's log in the dashboard; Python and Ray must run on the head"
        yield _problem(f"the cluster cannot be looked at: {facts['failed']}", remedy)
    for node in facts["nodes"]:
        if node["error"] is not None:
            remedy = "install there what requirements.lock has, and this package"
            yield _problem(f"{_name(node)} cannot run a task: {node['error']}", remedy)


def _token(facts: Facts) -> Iterator[Finding]:
    if facts["open"]:
        remedy = "set RAY_AUTH_MODE=token on every machine and start Ray again; cluster.yaml does so"
        yield _problem("the cluster asks for no token: whoever reaches it can run anything there", remedy)
    for place, token in [("here", facts["here"]["token"]), *((_name(n), n["token"]) for n in _looked_at(facts))]:
        if token["readable"]:
            remedy = f"chmod 600 {token['file']}"
            yield _problem(f"others may read the token's file {token['file']} ({place})", remedy)


def _versions(facts: Facts) -> Iterator[Finding]:
    here = facts["here"]
    remedy = "install requirements.lock everywhere; on one machine: make test"
    for name, shown in (("ray", "Ray"), ("python", "Python")):
        for version, places in _by_value(facts, name).items():
            if _comparable(name, version) != _comparable(name, here[name]):
                what = f"{shown} is {version or 'missing'} on {_listed(places)}, and {here[name]} here"
                yield _problem(what, remedy)
    for version, places in _by_value(facts, "torch").items():
        if version != here["torch"]:
            what = f"torch is {version or 'missing'} on {_listed(places)}, and {here['torch']} here"
            yield _problem(what, remedy) if version is None else _note(what, remedy)


def _comparable(name: str, version: str | None) -> object:
    """Of Python the first two numbers count."""
    return version.split(".")[:2] if name == "python" and version else version


def _package(facts: Facts) -> Iterator[Finding]:
    here = facts["here"]["raytune"]
    for version, places in _by_value(facts, "raytune").items():
        if version is None:
            what = f"raytune is not installed on {_listed(places)}: studies bring it along, an endpoint does not"
            yield _note(what, "install it there before `raytune serve --address`; cluster.yaml does so")
        elif version != here:
            remedy = "install the same one everywhere: `ray up` does so after a change"
            yield _problem(f"raytune is {version} on {_listed(places)}, and {here} here", remedy)


def _by_value(facts: Facts, name: str) -> dict[str | None, list[str]]:
    """Nodes by the version they have, and where the driver is too if it has another than its node."""
    found: dict[str | None, list[str]] = defaultdict(list)
    for node in _looked_at(facts):
        found[node[name]].append(_name(node))
    if facts["driver"] and facts["driver"][name] not in found:
        found[facts["driver"][name]].append("the driver's machine")
    return found


def _storage(facts: Facts) -> Iterator[Finding]:
    if not facts["driver"]:
        return
    places = [("the driver's machine", facts["driver"]["storage"])]
    places += [(_name(node), node["storage"]) for node in _looked_at(facts)]
    remedy = "use an NFS folder that is mounted everywhere, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"
    if not any(storage["uri"] for _, storage in places):
        yield _note("no storage is named, so none was looked at", "give --storage, or set RAYTUNE_STORAGE there")
        return
    uris = sorted({storage["uri"] or "none" for _, storage in places})
    if len(uris) > 1:
        yield _problem(f"RAYTUNE_STORAGE differs between the machines: {', '.join(uris)}", "set the same one on all")
    for place, storage in places:
        if storage["error"]:
            yield _problem(f"{place} cannot use the storage {storage['uri']}: {storage['error']}", remedy)
        elif storage["missing"]:
            what = (
                f"{place} does not see in {storage['uri']} what {_listed(storage['missing'])} wrote: it is not shared"
            )
            yield _problem(what, remedy)
    names = {node["id"]: _name(node) for node in facts["nodes"]}
    if unseen := [names.get(each, each) for each in places[0][1].get("unseen", ())]:
        yield _problem(f"what {_listed(unseen)} wrote does not appear in the storage: it is not shared", remedy)
    here = facts["here"]["storage"]
    if here["error"] or here["missing"]:
        why = here["error"] or "what the cluster writes does not appear there"
        remedy = "mount it or give this machine access, so that `raytune show` and `raytune watch` work here"
        yield _note(f"this machine does not share the storage {here['uri']}: {why}", remedy)


def _clocks(facts: Facts) -> Iterator[Finding]:
    remedy = "run chrony or another NTP client on every machine"
    for node in _looked_at(facts):
        if (apart := _apart(node["clock"])) > SKEW_S:
            yield _problem(f"the clock of {_name(node)} is {apart:,.0f} s or more off the driver's", remedy)
    if facts["skew"] and (apart := _apart(facts["skew"])) > SKEW_S:
        yield _problem(f"the cluster's clock is {apart:,.0f} s or more off the one here", remedy)


def _apart(clock: Mapping[str, float]) -> float:
    """What is certain of it, in seconds."""
    return abs(clock["ahead_s"]) - clock["error_s"]


def _ports(facts: Facts) -> Iterator[Finding]:
    for node in _looked_at(facts):
        open_ports = {port for address, port in node["listening"] if address in EVERYWHERE}
        if node["head"]:
            yield from _head_ports(facts, node, open_ports)
        for port, what in SERVE_PORTS.items():
            if port in open_ports:
                said = f"port {port} of {_name(node)} (Serve's: {what}) listens on every interface"
                yield _note(said, f"{CLOSE}; those who may ask the endpoint need an API key")


def _head_ports(facts: Facts, node: Facts, open_ports: set[int]) -> Iterator[Finding]:
    if _port(facts["dashboard"]) in open_ports:
        said = f"the dashboard listens on every interface of {_name(node)}"
        if node["kubernetes"]:  # where its operator needs it
            yield _note(
                said, "let a NetworkPolicy admit the namespace and the operator only, as deploy/kubernetes does"
            )
        else:
            yield _problem(said, "start the head with --dashboard-host=127.0.0.1 and use `ray dashboard`")
    if _port(facts["gcs"]) in open_ports:
        yield _note(f"Ray's own port {_port(facts['gcs'])} listens on every interface of {_name(node)}", CLOSE)


def _port(address: str | None) -> int | None:
    port = (address or "").rpartition(":")[2]
    return int(port) if port.isdecimal() else None


def _room(facts: Facts) -> Iterator[Finding]:
    for node in _looked_at(facts):
        if disk := node["disk"]:
            said = f"{disk['path']} of {_name(node)} has {disk['free'] / 2**30:,.1f} GB free"
            if disk["free"] < (1 - FULL) * disk["total"]:
                yield _problem(f"{said}, and Ray stops at {FULL:.0%} full", "delete something, or use a larger disk")
            elif disk["free"] < SMALL_DISK:
                yield _note(said, "a larger disk holds data that does not fit into memory")
        wanted = node["resources"].get("object_store_memory", 0)
        if node["shm"] and node["shm"]["total"] < wanted:
            small = f"{node['shm']['path']} of {_name(node)} has {node['shm']['total'] / 2**30:,.1f} GB"
            what = f"{small}, and Ray's objects may take {wanted / 2**30:,.1f} GB: they go through the disk"
            yield _problem(what, "give the container --shm-size, or the machine a larger /dev/shm")


def _gpus(facts: Facts) -> Iterator[Finding]:
    nodes = _looked_at(facts)
    declared = {_name(node): node["resources"].get("GPU", 0) for node in nodes}
    if nodes and not sum(declared.values()):
        yield _note(
            "no GPU is there now", "none is needed for CPU trials; an autoscaler may bring some when they are asked"
        )
    for node in nodes:
        if declared[_name(node)] > (node["gpus_seen"] or 0):
            told, seen = declared[_name(node)], node["gpus_seen"] or 0
            what = f"{_name(node)} offers GPU: {told:g}, and NVIDIA's driver shows {seen} there"
            yield _note(what, "let Ray count them: start it without --num-gpus")


def _name(node: Facts) -> str:
    return f"{node['name']} ({node['address']})" if node["name"] != node["address"] else str(node["address"])


def _listed(names: Iterable[str], most: int = 5) -> str:
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more

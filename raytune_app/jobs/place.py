"""Whether a storage can be seen by the nodes of a cluster: what can be told before a study is sent there."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from raytune_app.errors import InputError, RaytuneError
from raytune_app.filesystem import refuse_credentials
from raytune_app.jobs.client import answered
from raytune_app.storage import default_uri

if TYPE_CHECKING:
    from raytune_app.jobs.client import Jobs

_UNTYPED = re.compile(r"node_?[0-9a-f]{20,}", re.IGNORECASE)
"""What Ray calls the type of a node that no autoscaler started: after the node itself."""
REMEDY = "give --storage, or set RAYTUNE_STORAGE: s3://bucket/folder, or a path that is mounted on every node"


def shared_storage(client: Jobs, chosen: str | None) -> str:
    """The URI of the storage that the study will be in, as the nodes see it.

    Args:
        chosen: by the caller; else `RAYTUNE_STORAGE`, else this user's own folder, for a cluster of this machine alone.

    Raises:
        InputError: it is a folder of this machine that other machines would not see.
        StorageError: the URI has credentials in it, which everybody would see.
        RaytuneError: the cluster does not say which nodes it has.
    """
    uri = chosen or default_uri()
    if "://" in uri:
        refuse_credentials(uri)
        return uri
    is_chosen = bool(chosen or os.environ.get("RAYTUNE_STORAGE"))
    nodes, may_grow = _nodes(client)
    if not is_chosen and (may_grow or not nodes <= _own_addresses()):
        raise InputError(f"the cluster has other machines, and {uri} is a folder of this one", REMEDY)
    return str(Path(uri).expanduser().absolute())


def _nodes(client: Jobs) -> tuple[set[str], bool]:
    """The addresses of the nodes that live, and whether more may come."""
    with answered():
        summary = client._do_request("GET", "/nodes?view=summary")  # noqa: SLF001  # the only door that shows the token
        status = client._do_request("GET", "/api/cluster_status")  # noqa: SLF001  # the same
    try:
        nodes = summary.json()["data"]["summary"]
        alive = {node["ip"] for node in nodes if node.get("raylet", {}).get("state") == "ALIVE"}
        report = status.json()["data"]["clusterStatus"].get("autoscalerReport") or {}
    except (ValueError, KeyError, TypeError) as error:
        raise RaytuneError("the dashboard does not list its nodes", "is it the dashboard of a Ray 2.60?") from error
    return alive, not all(_UNTYPED.fullmatch(kind) for kind in report.get("activeNodes") or {})


def _own_addresses() -> set[str]:
    families = (socket.AF_INET, socket.AF_INET6)
    return {each.address for found in psutil.net_if_addrs().values() for each in found if each.family in families}

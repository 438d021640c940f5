"""The machines of a cluster, from its dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytune_app.errors import RaytuneError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


def node_addresses(client: JobSubmissionClient) -> set[str]:
    """The addresses of the nodes that live. Raises RaytuneError if the dashboard does not say."""
    answer = client._do_request("GET", "/nodes?view=summary")  # noqa: SLF001  # the only door that shows the token
    try:
        nodes = answer.json()["data"]["summary"]
        return {node["ip"] for node in nodes if node.get("raylet", {}).get("state") == "ALIVE"}
    except (ValueError, KeyError, TypeError) as error:
        raise RaytuneError("the dashboard does not list its nodes", "is it the dashboard of a Ray 2.60?") from error

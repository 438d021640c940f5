"""Brings facts about a running cluster: by a small job through its dashboard, or attached to it.

Either way one task that takes no processor runs on every living node; what they tell is `raytune_app.cluster.probe`.
"""

from __future__ import annotations

import json
import logging
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from raytune_app.cluster.probe import (
    MARK,
    VARIABLE,
    Clock,
    Request,
    cluster_facts,
    left_a_note,
    missing_notes,
    one_line,
    storage_facts,
    token_facts,
    versions,
)

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ENTRYPOINT = "python3 -m raytune_app.jobs.start raytune_app.cluster.probe"
"""Fixed; `start` goes on with the Python of Ray's own processes, which may be on nobody's PATH."""
JOB_DEADLINE_S = 180.0
POLL_S = 0.3
ANSWER_S = 10.0
_SENT_WITHOUT = ["/data/builtin/", "__pycache__/"]
_TALKATIVE = ("ray", "ray.dashboard.modules.dashboard_sdk")
Facts = dict[str, Any]


def by_job(client: JobSubmissionClient, url: str, storage: str = "", *, insecure: bool = False) -> Facts:
    """Facts by a job; it stays in the dashboard's list, with its log.

    Args:
        url: of the dashboard.
        storage: a URI; empty: what the cluster's environment says.
        insecure: run the job on a cluster that everybody may use; else that is the only fact.
    """
    is_open = answers_anyone(url)
    if is_open and not insecure:
        return _facts(is_open=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    with _note_here(storage) as (request, here):
        told, failed = _told(client, request)
        facts = {**_facts(is_open=is_open, failed=failed), **told, "skew": _skew(url)}
        facts["here"]["storage"] = _seen_from_here(facts, request, here)
    return facts


def attached(storage: str = "", *, is_open: bool) -> Facts:
    """Facts by this process, which is connected to the cluster: it is the driver."""
    request = Request(storage, _new_folder())
    return {**_facts(is_open=is_open), **cluster_facts(request)}


def closed(*, is_open: bool) -> Facts:
    """The only fact about a cluster on which nothing was run."""
    return _facts(is_open=is_open)


def answers_anyone(url: str) -> bool:
    """Whether the dashboard lists jobs for somebody without a token. Raises httpx.HTTPError if nothing answers."""
    return httpx.get(f"{url}/api/jobs/", timeout=ANSWER_S).is_success


def _facts(*, is_open: bool, failed: str | None = None) -> Facts:
    here = {"python": platform.python_version(), **versions(), "token": token_facts()}
    storage: Facts = {"uri": "", "missing": [], "error": None}
    nothing: Facts = {"driver": None, "gcs": None, "dashboard": None, "nodes": []}
    return {**nothing, "open": is_open, "failed": failed, "skew": None, "here": {**here, "storage": storage}}


def _new_folder() -> str:
    return f".check-{secrets.token_hex(8)}"


@contextmanager
def _note_here(uri: str) -> Iterator[tuple[Request, Facts]]:
    """A request that names a note of this machine's, if it can leave one; taken away afterwards with all others."""
    from raytune_app.storage import Storage

    request = Request(uri, _new_folder())
    facts = storage_facts("here", request) if uri else {"uri": "", "missing": [], "error": None}
    left = left_a_note(facts)
    try:
        yield replace(request, notes=("here",)) if left else request, facts
    finally:
        if left:
            with suppress(Exception):  # the facts count; a folder that is left behind is named like this one
                Storage(uri).delete(request.folder)


def _seen_from_here(facts: Facts, request: Request, here: Facts) -> Facts:
    if not request.notes:
        return here
    wrote = [node["id"] for node in facts["nodes"] if node["error"] is None and left_a_note(node["storage"])]
    try:
        return {**here, "missing": missing_notes(here["uri"], request.folder, wrote)}
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the fact
        return {**here, "error": one_line(error)}


def _told(client: JobSubmissionClient, request: Request) -> tuple[Facts, str | None]:
    """What the job printed, and why it did not."""
    package = Path(__file__).parents[1]
    variables = {VARIABLE: json.dumps(asdict(request))}
    runtime_env = {"py_modules": [str(package)], "excludes": _SENT_WITHOUT, "env_vars": variables}
    name = f"raytune-check-{secrets.token_hex(4)}"
    try:
        job = client.submit_job(
            entrypoint=ENTRYPOINT, submission_id=name, runtime_env=runtime_env, metadata={"raytune": "check"}
        )
        ended = _within(JOB_DEADLINE_S, lambda: client.get_job_status(job).is_terminal())
        log = client.get_job_logs(job)
        if not ended:
            client.stop_job(job)
            return {}, f"the job {job} has not ended within {JOB_DEADLINE_S:.0f} s"
    except (RuntimeError, OSError, ValueError) as error:
        return {}, one_line(error)
    return _read(log)


def _read(log: str) -> tuple[Facts, str | None]:
    for line in log.splitlines():
        if line.startswith(MARK):
            facts: Facts = json.loads(line.removeprefix(MARK))
            return facts, None
    said = [line for line in log.splitlines() if line.strip()]
    return {}, said[-1][:300] if said else "the job printed nothing"


def _within(seconds: float, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _skew(url: str) -> Facts | None:
    """How far the head's clock is ahead of the one here: its answers carry the time, in whole seconds."""
    try:
        before = time.time()
        answer = httpx.get(f"{url}/api/healthz", timeout=ANSWER_S)
        after = time.time()
        there = parsedate_to_datetime(answer.headers["date"]).replace(tzinfo=UTC).timestamp()
    except (httpx.HTTPError, KeyError, ValueError):
        return None
    return asdict(Clock(there + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2))

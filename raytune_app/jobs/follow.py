"""A submitted job's own log, as it grows."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from raytune_app.display.text import printable
from raytune_app.jobs.client import answered

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

LOOK_S = 0.5
START_S = 120.0
"""For a job to begin to run: its code is unpacked first."""


def follow(client: JobSubmissionClient, job: str) -> bool:
    """Print the job's log to stderr until it ends; returns whether it ended well. Raises RaytuneError."""
    from ray.job_submission import JobStatus

    deadline_s = time.monotonic() + START_S
    with answered():
        while client.get_job_status(job) == JobStatus.PENDING and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
        asyncio.run(_tail(client, job))
        while not (status := client.get_job_status(job)).is_terminal():
            time.sleep(LOOK_S)
    return bool(status == JobStatus.SUCCEEDED)


async def _tail(client: JobSubmissionClient, job: str) -> None:
    async for text in client.tail_job_logs(job):
        sys.stderr.write(printable(text))
        sys.stderr.flush()

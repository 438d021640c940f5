"""What a submitted study's job is told: one JSON text in its environment, so that no shell ever reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "RAYTUNE_JOB"
ENTRYPOINT = "python3 start.py"
"""The same for every job: `start.py` lies in the bundle, the rest is in the environment."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """One job's task.

    Attributes:
        study: its id.
        job: the job's own id.
        storage: URI of where the study is or will be.
        spec: the experiment; None to go on with a study that is there.
        edits: settings to change, as `a.b=c`.
        user, priority, submitted: for the queue; higher priorities first, then the earlier (ISO 8601, UTC).
        retries: how often a driver that died is started again.
        replay: the study and the plan that this one trains again.
    """

    study: str
    job: str
    storage: str
    spec: dict[str, Any] | None
    edits: tuple[str, ...]
    user: str
    priority: int
    submitted: str
    retries: int
    replay: dict[str, Any] | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> JobOrder:
        content = json.loads(text)
        return cls(**{**content, "edits": tuple(content["edits"])})

    def metadata(self) -> dict[str, str]:
        """What Ray's dashboard shows of the job. Nothing secret: anybody with the token sees it."""
        return {
            "raytune": "study",
            "study": self.study,
            "user": self.user,
            "priority": str(self.priority),
            "submitted": self.submitted,
            "storage": self.storage,
        }

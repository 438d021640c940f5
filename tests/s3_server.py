"""An S3 server in a process of its own, on a loopback port that the system chooses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret-word"}
DEADLINE_S = 45.0


@dataclass(frozen=True)
class S3Server:
    """Where it listens, and the file with a line for each request that it answered."""

    port: int
    log: Path

    def uri(self, folder: str | None = None, bucket: str = "bucket") -> str:
        """A storage of its own in the server's bucket, unless a folder is given."""
        options = {"endpoint_override": f"http://127.0.0.1:{self.port}", "scheme": "http"}
        return f"s3://{bucket}/{folder or uuid.uuid4().hex}?{urlencode(options)}&allow_bucket_creation=true"

    def requests(self) -> list[str]:
        """Method and path of each request so far."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
        return re.findall(r'"((?:GET|HEAD|PUT|POST|DELETE) \S+) HTTP', plain)


@contextmanager
def s3_server(folder: Path, **settings: str) -> Iterator[S3Server]:
    """Started here and ended by its id; `settings` are moto's environment variables."""
    log = folder / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=output, stderr=output, env={**os.environ, **settings},
        )  # fmt: skip
    try:
        yield S3Server(_port(process, log), log)
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if said := re.search(r"Running on http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(said[1])
        time.sleep(0.05)
    raise AssertionError(f"the S3 server does not start: {log.read_text()}")

"""The token: shown where it is wanted, insisted on where it is not, and never seen by others."""

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raytune_app.errors import InputError
from raytune_app.jobs.client import connect_jobs, jobs_address, read_token


class Dashboard(ThreadingHTTPServer):
    """As much of Ray's dashboard as a client meets first."""

    mode = "token"
    token = "right"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Dashboard)
        if self.path == "/api/authentication_mode":
            self._answer(200, {"authentication_mode": self.server.mode})
        elif self.server.mode == "token" and self.headers["Authorization"] != f"Bearer {self.server.token}":
            self._answer(403, {})
        else:
            self._answer(200, {"version": "4", "ray_version": "2.60.0"})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Nothing to stderr."""


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    with Dashboard(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    return path


def test_a_cluster_that_asks_for_a_token_gets_it_without_further_ado(
    dashboard: Dashboard, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # what Ray's own client would stumble over
    token_file.write_text("right\n")
    assert connect_jobs(dashboard.url)._headers == {"Authorization": "Bearer right"}


def test_a_token_file_that_others_may_read_is_closed_to_them(token_file: Path) -> None:
    token_file.write_text("right")
    token_file.chmod(0o644)
    assert read_token() == "right"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_an_open_cluster_is_refused_unless_one_insists(dashboard: Dashboard) -> None:
    dashboard.mode = "disabled"
    with pytest.raises(InputError, match="asks for no token") as refused:
        connect_jobs(dashboard.url)
    assert "--insecure" in str(refused.value.remedy)
    assert connect_jobs(dashboard.url, insecure=True)._headers == {}


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), (" \n", "is empty"), ("wrong", "not accept")])
def test_without_the_right_token_it_says_so(
    content: str | None, told: str, dashboard: Dashboard, token_file: Path
) -> None:
    if content is not None:
        token_file.write_text(content)
    with pytest.raises(InputError, match=told) as refused:
        connect_jobs(dashboard.url)
    assert "wrong" not in refused.value.message
    assert "auth_token" in str(refused.value.remedy)


def test_what_is_no_dashboard_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(InputError, match="which cluster"):
        jobs_address(None)
    with pytest.raises(InputError, match="not the address of a dashboard"):
        jobs_address("127.0.0.1:6379")
    with pytest.raises(InputError, match="no Ray dashboard answers"):
        connect_jobs("http://127.0.0.1:1")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265/")
    assert jobs_address(None) == "http://head:8265"

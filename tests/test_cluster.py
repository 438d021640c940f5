"""The token that opens the dashboard belongs to its owner alone, and only processes of ours are ever ended."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from raytune_app.cluster import Cluster, connect, connection, ending
from raytune_app.cluster.ending import end_all
from raytune_app.cluster.token import private_token
from raytune_app.errors import InputError


@pytest.fixture
def token_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ray" / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_token_is_readable_by_its_owner_alone(token_path: Path) -> None:
    assert private_token() == token_path
    assert mode(token_path) == 0o600
    assert len(token_path.read_text()) == 64


def test_an_old_token_stays_but_is_closed_to_others(token_path: Path) -> None:
    token_path.parent.mkdir()
    token_path.write_text("secret")
    token_path.chmod(0o644)
    private_token()
    assert (token_path.read_text(), mode(token_path)) == ("secret", 0o600)


def test_no_token_is_made_where_authentication_is_off(token_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert private_token() is None
    assert not token_path.exists()


def test_the_way_to_log_in_names_the_file_and_never_the_token(
    token_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    login = Cluster("http://127.0.0.1:8265", embedded=True, token_file=token_path, cpus=1, gpus=0).login
    assert str(token_path) in login
    assert token_path.read_text() not in login


def test_a_process_that_does_not_leave_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "STOP_GRACE_S", 0.2)
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo deaf; exec sleep 60"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"deaf\n"
        end_all([psutil.Process(process.pid)])
        assert not psutil.pid_exists(process.pid)


@pytest.mark.ray
def test_an_open_connection_is_lent_and_not_closed(ray_cluster: Cluster) -> None:
    import ray

    with connect() as lent:
        assert (lent.cpus, lent.embedded) == (ray_cluster.cpus, False)
    assert ray.is_initialized()


def test_an_interruption_while_the_import_goes_on_stops_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = Cluster(None, embedded=True, token_file=None, cpus=1, gpus=0)
    stopped: list[Cluster] = []

    def stop(self: Cluster) -> None:
        stopped.append(self)

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "_is_connected", lambda: False)
    monkeypatch.setattr(connection, "_start", lambda *_: started)
    monkeypatch.setattr(Cluster, "stop", stop)
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect()
    assert stopped == [started]


@pytest.mark.ray
def test_a_dead_address_is_a_clear_error(tmp_path: Path) -> None:
    """In a process of its own, since this one may be connected."""
    script = "from raytune_app.cluster import connect; connect('127.0.0.1:1', meanwhile='torch')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert f"{InputError.__name__}: cannot connect to Ray at 127.0.0.1:1" in done.stderr

"""Serve's environment: the user's own settings win, ports do not meet, and HAProxy is rewritten before it starts."""

import resource
import subprocess
from pathlib import Path

import pytest

from raytune_app.endpoint.fastpath import (
    FAST_SERVE,
    FRONT_FILE,
    PEER_VARIABLE,
    PORTS,
    fast_serve,
    free_ports,
    max_connections,
)

TEMPLATE = """global
    stats socket /tmp/x.sock mode 666 level admin expose-fd listeners
defaults
    mode http
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind *:8404
"""


def test_a_variable_the_user_has_set_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "0")
    values = fast_serve(tmp_path)
    assert "RAY_SERVE_ENABLE_HA_PROXY" not in values
    assert values["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == FAST_SERVE["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_two_clusters_get_different_ports(tmp_path: Path) -> None:
    ports = [fast_serve(tmp_path)[name] for name in PORTS]
    assert len(set(ports)) == len(PORTS)
    assert len(set(free_ports(20))) == 20


def test_the_wrapper_rewrites_the_configuration_and_becomes_haproxy(tmp_path: Path) -> None:
    values = fast_serve(tmp_path)
    config = tmp_path / "haproxy.cfg"
    config.write_text(TEMPLATE)
    started = subprocess.run(
        [values["RAY_SERVE_HAPROXY_BINARY_PATH"], "-f", str(config), "-v"], capture_output=True, text=True, check=True
    )
    assert "HAProxy version" in started.stdout
    assert f"http-request set-header {values[PEER_VARIABLE]} %[src]" in config.read_text()


def test_haproxy_does_not_start_with_a_configuration_that_could_not_be_rewritten(tmp_path: Path) -> None:
    wrapper = fast_serve(tmp_path)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    config = tmp_path / "haproxy.cfg"
    config.write_text("global\n")
    started = subprocess.run([wrapper, "-f", str(config), "-v"], capture_output=True, text=True, check=False)
    assert started.returncode == 1
    assert "template" in started.stderr
    assert "HAProxy version" not in started.stdout


def test_the_name_of_the_header_that_tells_who_asks_is_a_secret(tmp_path: Path) -> None:
    names = {fast_serve(tmp_path)[PEER_VARIABLE] for _ in range(5)}
    assert len(names) == 5
    assert min(map(len, names)) > 32
    assert (tmp_path / FRONT_FILE).stat().st_mode & 0o077 == 0


def test_another_front_of_the_users_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", "/usr/sbin/haproxy")
    assert PEER_VARIABLE not in fast_serve(tmp_path)
    assert not (tmp_path / FRONT_FILE).exists()


def test_as_many_connections_as_the_system_has_files_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for hard, most in ((20_000, 16_000), (4096, 1096), (1024, 500), (resource.RLIM_INFINITY, 16_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (hard, hard))
        assert max_connections() == most

"""Serve's environment: the user's own settings win, ports do not meet, and HAProxy is rewritten before it starts."""

import subprocess
from pathlib import Path

import pytest

from raytune_app.fastpath import FAST_SERVE, PORTS, fast_serve, free_ports

TEMPLATE = """global
    stats socket /tmp/x.sock mode 666 level admin expose-fd listeners
frontend prometheus
    bind :9101
frontend http_frontend
    bind 0.0.0.0:8000
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


def test_haproxy_keeps_its_front_and_hides_the_rest(tmp_path: Path) -> None:
    wrapper = fast_serve(tmp_path)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    config = tmp_path / "haproxy.cfg"
    config.write_text(TEMPLATE)
    started = subprocess.run([wrapper, "-f", str(config), "-v"], capture_output=True, text=True, check=True)
    assert "HAProxy version" in started.stdout
    lines = [line.strip() for line in config.read_text().splitlines()]
    assert "bind 0.0.0.0:8000" in lines  # where the user wanted it
    assert {"bind 127.0.0.1:9101", "bind 127.0.0.1:8404"} <= set(lines)
    assert "stats socket /tmp/x.sock mode 600 level admin expose-fd listeners" in lines
    front = lines[lines.index("frontend http_frontend") :]
    assert "http-request del-header x-request-timeout-seconds" in front
    assert "http-request set-log-level silent" in front
    assert "http-request set-header x-request-disconnect-disabled ?1" in front

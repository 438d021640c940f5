"""The Ray cluster work runs on: the one at an address, or one started here and stopped with everything it started.

    with connect(address=None) as cluster:
        print(cluster.dashboard_url, cluster.cpus, cluster.gpus)

Ray is imported inside, after its environment is set: it reads most of it at import.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from raytune_app import __version__
from raytune_app.cluster.ending import end_all, new_children, with_descendants
from raytune_app.cluster.token import AUTH_MODE, private_token, show_token_if_asked, token_file
from raytune_app.endpoint.fastpath import FRONT_FILE, LOOPBACK_ONLY, fast_serve
from raytune_app.errors import InputError, RaytuneError
from raytune_app.process import environment, signals_ignored, user_name

ADDRESS_REMEDY = "check --address or RAY_ADDRESS, that the cluster runs, and that its token is in ~/.ray/auth_token"


@dataclass
class Cluster:
    """A connection to Ray; as a context manager it stops what it started.

    Attributes:
        dashboard_url: `http://host:port`, or None if the cluster has no dashboard.
        embedded: started by us, on this machine, and stopped by `stop`.
        token_file: where the token is that opens the dashboard; None if it is not in a file or auth is off.
        cpus, gpus: what the whole cluster has.
        head: the address of the head, if that is another machine than this one; None if it is this one.
    """

    dashboard_url: str | None
    embedded: bool
    token_file: Path | None
    cpus: float
    gpus: float
    head: str | None = None
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
        started = with_descendants(self._roots)
        # A second Ctrl-C must not leave half of the processes behind.
        with signals_ignored(signal.SIGINT, signal.SIGTERM):
            try:
                ray.shutdown()
            finally:
                end_all(started)
                if self._folder is not None:
                    shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def connect(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    meanwhile: str | None = None,
    about: Mapping[str, str] = {},
) -> Cluster:
    """Connect to the Ray at `address` (default `RAY_ADDRESS`), or start one on this machine.

    The embedded one has its dashboard on the loopback interface, token authentication on, usage statistics off and
    Serve's fast path. If this process is connected already, that connection is lent and `stop` leaves it alone.

    Args:
        address: `host:port` of Ray's head, or `auto`.
        cpus, gpus: how many the embedded cluster may use; None for all. Ignored with an address.
        meanwhile: a module to import while Ray's processes start, which is mostly waiting.
        about: what this process works on, for the metadata of its job in Ray's dashboard; everybody there reads it.

    Raises:
        InputError: nothing answers at the address, or it refuses our token.
        RaytuneError: the embedded cluster does not start.
    """
    import_environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.update({name: value for name, value in import_environment.items() if name not in os.environ})
    if _is_connected():
        return Cluster(
            _dashboard(), False, token_file(os.environ.get(AUTH_MODE)), *_totals(), _other_head(), _connected=False
        )
    logging.getLogger("ray").setLevel(logging.ERROR)
    beside = threading.Thread(target=_import, args=(meanwhile,))
    beside.start()
    metadata = {**about, "user": user_name(), "raytune": __version__}
    cluster = _attach(address, metadata) if address else _start(cpus, gpus, metadata)
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


def _start(cpus: int | None, gpus: int | None, metadata: dict[str, str]) -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="raytune-"))
    token_at = private_token()
    before = set(psutil.Process().children())
    _listen_here_alone(here=True)
    try:
        # A terminal's Ctrl-C reaches Ray's processes too; they must live until we have stopped them in order.
        ours = {**fast_serve(folder), **LOOPBACK_ONLY, "PYTHONPATH": _python_path()}
        with environment(ours), signals_ignored(signal.SIGINT):
            _init(metadata, num_cpus=cpus, num_gpus=gpus, include_dashboard=True, dashboard_host="127.0.0.1")
    except BaseException as error:  # Ctrl-C too must leave nothing behind
        end_all(with_descendants(new_children(before)))
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, Exception):
            raise
        remedy = "look into /tmp/ray/session_latest/logs"
        raise RaytuneError(f"a local Ray does not start: {_first_line(error)}", remedy) from error
    return Cluster(_dashboard(), True, token_at, *_totals(), _folder=folder, _roots=new_children(before))


def _listen_here_alone(*, here: bool) -> None:
    """Tell Ray in this process whether this machine is the whole cluster: it read LOOPBACK_ONLY when imported."""
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = not here


def _attach(address: str, metadata: dict[str, str]) -> Cluster:
    host, _, port = address.rpartition(":")
    _listen_here_alone(here=False)
    try:
        if port.isdecimal() and "/" not in host:
            show_token_if_asked(address)
        _init(metadata, address=address)
    except Exception as error:
        raise InputError(f"cannot connect to Ray at {address}: {_first_line(error)}", ADDRESS_REMEDY) from error
    return Cluster(_dashboard(), False, token_file(os.environ.get(AUTH_MODE)), *_totals(), _other_head())


def _other_head() -> str | None:
    """The head's address, if this process is on another node."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    heads = [node for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    return next((node["NodeManagerAddress"] for node in heads if node["NodeID"] != own), None)


def _init(metadata: dict[str, str], **settings: Any) -> None:
    import ray
    from ray.job_config import JobConfig

    job = JobConfig(metadata=metadata)  # where the job was submitted, Ray lets that one's metadata have precedence
    ray.init(job_config=job, log_to_driver=False, logging_level=logging.ERROR, **settings)


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


def _python_path() -> str:
    """Workers import this package, `serving` and the user's own models from where this process does."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([root, str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]))

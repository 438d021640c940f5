"""Who takes part in benchmarks/serving_peers.py: what to install, what to start, how to ask."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

NUMPY = f"numpy=={version('numpy')}"


@dataclass(frozen=True, slots=True)
class Contender:
    """One server.

    Attributes:
        module: under benchmarks.peers, started with `python -m`.
        dialect: a key of `dialects.DIALECTS`.
        requirements: of its environment, beside torch; none: it runs in ours.
        shown: the packages whose versions belong beside the numbers.
        system_python: whether its environment is made with the operating system's interpreter.
    """

    name: str
    module: str
    dialect: str
    requirements: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    system_python: bool = False


OURS, BARE, FASTEST = "raytune", "fastapi", "mosec"

CONTENDERS = {
    each.name: each
    for each in (
        Contender(OURS, "raytune_endpoint", "ours", shown=("ray",)),
        Contender(
            "ray serve", "ray_serve_stock", "raw_alone", (NUMPY, f"ray[serve]=={version('ray')}"), shown=("ray",)
        ),
        Contender(
            BARE,
            "fastapi_server",
            "raw",
            (NUMPY, f"fastapi=={version('fastapi')}", f"uvicorn[standard]=={version('uvicorn')}"),
            shown=("fastapi", "uvicorn"),
        ),
        Contender("litserve", "litserve_server", "litserve", (NUMPY, "litserve==0.2.19"), shown=("litserve",)),
        # 1.4.40 asks for a certifi that cannot be had yet
        Contender("bentoml", "bentoml_server", "bento", (NUMPY, "bentoml==1.4.39"), shown=("bentoml",)),
        # its loop factory does not fit a newer uvloop
        Contender(
            "mlserver", "mlserver_server", "protocol_json", ("mlserver==1.7.1", "uvloop<0.22"), shown=("mlserver",)
        ),
        Contender(FASTEST, "mosec_server", "mosec", (NUMPY, "mosec==0.9.8"), shown=("mosec",)),
        # its Python backend crashes under some builds of CPython 3.11, and its arrays are those of numpy 1
        Contender(
            "pytriton",
            "pytriton_server",
            "triton",
            ("numpy<2", "nvidia-pytriton==0.7.0"),
            shown=("nvidia-pytriton",),
            system_python=True,
        ),
        Contender(
            "torchserve",
            "torchserve_server",
            "torchserve",
            (NUMPY, "torchserve==0.12.0", "torch-model-archiver==0.12.0", "pyyaml"),  # which it uses and does not name
            shown=("torchserve",),
        ),
    )
}

"""Tune, train and serve convolutional networks on Ray: from one experiment file to an answering endpoint."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raytune_app.client import Client

__version__ = "0.5.0"
__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """`Client` is imported when it is asked for: `raytune --help` does without it."""
    if name == "Client":
        from raytune_app.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The Ray that work runs on: attached to, or started here and stopped with everything it started."""

from raytune_app.cluster.connection import Cluster, connect

__all__ = ["Cluster", "connect"]

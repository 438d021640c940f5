"""The board of a served application: the key-value store of the Ray cluster it runs on. Needs a Ray process."""

from __future__ import annotations

from ray.experimental import internal_kv

NAMESPACE = b"raytune-serving"


class ClusterBoard:
    """Notes of one application.

    Args:
        application: its name; another application's notes are not seen.
    """

    def __init__(self, application: str) -> None:
        self._prefix = f"{application}/".encode()

    def put(self, key: str, value: bytes) -> None:
        internal_kv._internal_kv_put(self._prefix + key.encode(), value, overwrite=True, namespace=NAMESPACE)  # noqa: SLF001

    def notes(self) -> dict[str, bytes]:
        """Blocks for a round trip to Ray's head a note: for a thread."""
        keys = internal_kv._internal_kv_list(self._prefix, namespace=NAMESPACE)  # noqa: SLF001
        found = {key: internal_kv._internal_kv_get(key, namespace=NAMESPACE) for key in keys}  # noqa: SLF001
        return {key[len(self._prefix) :].decode(): value for key, value in found.items() if value is not None}

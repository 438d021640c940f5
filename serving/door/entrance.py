"""A replica's door, room and reader, made of what the deployment told it; and Ray's own port kept off the network."""

from __future__ import annotations

import os
from pathlib import Path

from raytune_app.endpoint.fastpath import PEER_VARIABLE
from serving.door.door import Door
from serving.door.places import Places
from serving.versions.replica import DoorArguments
from serving.web.asgi import Entrance, Reader


def entrance(arguments: DoorArguments) -> Entrance:
    """Raises NotFoundError, InputError: the keys' file is not here, or is wrong."""
    file = Path(arguments.keys_file) if arguments.keys_file else None
    peer_header = os.environ.get(PEER_VARIABLE, "").lower().encode() or None
    reader = Reader(timeout_s=arguments.timeout_s)
    return Entrance(Door(file, arguments.own_key_sha256), Places(), reader, peer_header)


def identity(arguments: DoorArguments) -> tuple[bytes, bytes] | None:
    """Private key and certificates in PEM, for what speaks TLS itself; None: nothing does. Raises OSError."""
    if not arguments.tls_cert:
        return None
    return Path(arguments.tls_key).read_bytes(), Path(arguments.tls_cert).read_bytes()


def keep_replica_port_local() -> None:
    """Let the port on which replicas hear one another listen where Ray's other ports of this node do.

    Serve opens it on every interface and unpickles what comes, whoever sends it; no environment variable changes that.
    """
    import ray
    from ray.serve._private import replica

    listen = replica.add_port_to_grpc_server

    def listen_here(server: object, address: str) -> int:
        return int(listen(server, address.replace("[::]", str(ray.util.get_node_ip_address()))))

    replica.add_port_to_grpc_server = listen_here

"""Listens for gRPC, in the process whose models answer.

Every process of a deployment listens on the same port of its machine and the system hands each new connection to one of
them, so a connection that lives long stays with one process. A process that ends says so to its clients, which connect
anew.
"""

from __future__ import annotations

from typing import Any

import grpc

from serving.door.places import MAX_REQUESTS
from serving.rpc.service import Service
from serving.wire.protocol import MAX_BODY_BYTES

GRACE_S = 2.0
"""For requests inside when the server stops."""

OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", MAX_BODY_BYTES),
    ("grpc.max_send_message_length", MAX_BODY_BYTES),
    # gRPC measures a compressed message before it unfolds, so a small one may fill the memory: none is taken.
    ("grpc.compression_enabled_algorithms_bitset", 1),
)


async def listen(service: Service, host: str, port: int, identity: tuple[bytes, bytes] | None = None) -> Server:
    """Start answering.

    Args:
        port: 0 takes a free one, which the answer names.
        identity: private key and certificate chain in PEM; None: without TLS.

    Raises:
        OSError: this is no place to listen.
    """
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=2 * MAX_REQUESTS)
    server.add_generic_rpc_handlers((service.handlers(),))
    try:
        if identity is None:
            port = server.add_insecure_port(f"{host}:{port}")
        else:
            port = server.add_secure_port(f"{host}:{port}", grpc.ssl_server_credentials([identity]))
    except RuntimeError as error:
        raise OSError(f"gRPC cannot listen on port {port}") from error
    await server.start()
    return Server(server, port)


class Server:
    """A server that answers; `listen` starts it."""

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self) -> None:
        """Take no more requests, and answer those inside."""
        await self._server.stop(GRACE_S)

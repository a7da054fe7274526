"""No network while a plugin is checked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def refusing_connections() -> Iterator[list[str]]:
    """Within it, every network connection of this process is refused and noted."""
    tried: list[str] = []
    plain, plain_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(where: Any) -> None:
        tried.append(str(where[0] if isinstance(where, tuple) else where))
        raise ConnectionRefusedError("the conformance checks allow no network")

    def connect(self: socket.socket, address: Any) -> Any:
        return plain(self, address) if self.family == getattr(socket, "AF_UNIX", None) else refuse(address)

    def connect_ex(self: socket.socket, address: Any) -> Any:
        return plain_ex(self, address) if self.family == getattr(socket, "AF_UNIX", None) else refuse(address)

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        refuse(host)

    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = getaddrinfo
    try:
        yield tried
    finally:
        socket.socket.connect, socket.socket.connect_ex = plain, plain_ex  # type: ignore[method-assign]
        socket.getaddrinfo = look_up

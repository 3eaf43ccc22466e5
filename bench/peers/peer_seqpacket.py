"""A pair of sockets that keep messages apart, as the standard library has them. They have no name
and reach another process by inheritance only."""

import socket
from contextlib import suppress
from functools import partial
from typing import Any

from peer import AbstractPeer

_SO_SNDBUFFORCE = 32  # Linux; Python does not have it
_ROOM = 4 << 20


class Channel:
    """Its methods are those of the sockets, with their arguments."""

    def __init__(self, size: int) -> None:
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        there, here = self.ends
        # Beyond the system's limit for root only; a message larger than the room is an error.
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        with suppress(PermissionError):
            there.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
        self.send = there.send
        self.receive = partial(here.recv, size)


class Peer(AbstractPeer):
    def channel(self, name: str, size: int) -> Channel:
        return Channel(size)

    def reopen(self, shared: Any) -> Any:
        return shared

    def remove(self, shared: Channel) -> None:
        for end in shared.ends:
            end.close()

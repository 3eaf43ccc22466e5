"""The package of this project, with its objects on a server."""

from collections.abc import Sequence
from typing import Any

import place
from peer import AbstractPeer

from nob.ipc import Connection, Flags, NamedLock, NamedMessageQueue, connect


class Peer(AbstractPeer):
    def __init__(self) -> None:
        self.place = connect(place.url())
        self.child: Connection | None = None

    def queue(self, name: str, max_messages: int, max_message_size: int) -> NamedMessageQueue:
        return self.place.NamedMessageQueue(
            name, max_messages, max_message_size, handle_existence=Flags.RAISE_IF_EXISTS
        )

    def lock(self, name: str) -> NamedLock:
        return self.place.NamedLock(name, Flags.RAISE_IF_EXISTS)

    def reopen(self, shared: Any) -> Any:
        """Through a connection that the child has for itself."""
        if self.child is None:
            self.child = connect(place.url())
        return self.child.NamedMessageQueue(shared.name)

    def send_batch(self, queue: NamedMessageQueue, messages: Sequence[bytes]) -> None:
        sent = queue.send_many(messages)
        assert sent == len(messages), sent

    def clear(self, queue: NamedMessageQueue) -> None:
        while queue.receive_many(1000, timeout=0):
            pass

    def remove(self, shared: Any) -> None:
        shared.unlink()
        shared.close()

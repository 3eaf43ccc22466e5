"""The simple queue of kombu, which is what Celery sends with. To receive is to acknowledge, too."""

from typing import Any

import kombu
import place
from peer import AbstractPeer


class Queue:
    def __init__(self, name: str) -> None:
        self.name = name
        self.connection = kombu.Connection(place.url())
        self.simple: Any = self.connection.SimpleQueue(name)

    def send(self, message: bytes) -> None:
        self.simple.put(message)

    def receive(self) -> None:
        self.simple.get().ack()

    def close(self) -> None:
        self.simple.close()
        self.connection.close()


class Peer(AbstractPeer):
    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(name)

    def reopen(self, shared: Queue) -> Queue:
        return Queue(shared.name)

    def clear(self, queue: Queue) -> None:
        queue.simple.clear()

    def remove(self, shared: Queue) -> None:
        shared.simple.clear()
        shared.close()

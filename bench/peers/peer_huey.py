"""huey: a task is enqueued and dequeued, and not run."""

from typing import Any

import huey
import place
from peer import AbstractPeer


class Queue:
    def __init__(self, name: str) -> None:
        self.huey = huey.RedisHuey(name, url=place.url())
        self.task: Any = self.huey.task()(len)

    def send(self, message: bytes) -> None:
        self.task(message)

    def receive(self) -> Any:
        return self.huey.dequeue()


class Peer(AbstractPeer):
    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(name)

    def clear(self, queue: Queue) -> None:
        queue.huey.flush()

    def remove(self, shared: Queue) -> None:
        shared.huey.flush()

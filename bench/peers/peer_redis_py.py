"""redis-py: a list as a queue, and its lock, which is the server's for ten seconds as ours is."""

from collections.abc import Sequence
from typing import Any

import place
import redis
from peer import AbstractPeer


class Queue:
    def __init__(self, client: redis.Redis, name: str) -> None:
        self.client, self.name = client, name

    def send(self, message: bytes) -> None:
        self.client.lpush(self.name, message)

    def receive(self) -> Any:
        return self.client.brpop(self.name)


class Peer(AbstractPeer):
    def __init__(self) -> None:
        self.client = redis.Redis.from_url(place.url())

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(self.client, name)

    def lock(self, name: str) -> Any:
        return self.client.lock(name, timeout=10)

    def reopen(self, shared: Queue) -> Queue:
        return Queue(redis.Redis.from_url(place.url()), shared.name)

    def send_batch(self, queue: Queue, messages: Sequence[bytes]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.lpush(queue.name, message)
            pipeline.execute()

    def clear(self, queue: Queue) -> None:
        self.client.delete(queue.name)

    def remove(self, shared: Any) -> None:
        self.client.delete(shared.name)

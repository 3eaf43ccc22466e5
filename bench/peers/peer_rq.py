"""The sending side of rq: its receiving side is a worker that runs functions."""

import place
import redis
import rq
from peer import AbstractPeer


class Queue:
    def __init__(self, queue: rq.Queue) -> None:
        self.queue = queue

    def send(self, message: bytes) -> None:
        self.queue.enqueue("builtins.len", message)


class Peer(AbstractPeer):
    def __init__(self) -> None:
        self.client = redis.Redis.from_url(place.url())

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(rq.Queue(name, connection=self.client))

    def clear(self, queue: Queue) -> None:
        queue.queue.empty()

    def remove(self, shared: Queue) -> None:
        shared.queue.delete(delete_jobs=True)

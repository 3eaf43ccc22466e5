"""The sending side of dramatiq: its receiving side is a worker that runs functions."""

import dramatiq
import place
from dramatiq.brokers.redis import RedisBroker
from peer import AbstractPeer


class Queue:
    def __init__(self, broker: RedisBroker, name: str) -> None:
        self.name = name
        self.actor = dramatiq.actor(len, broker=broker, queue_name=name, actor_name=name)

    def send(self, message: bytes) -> None:
        self.actor.send(message.decode())


class Peer(AbstractPeer):
    def __init__(self) -> None:
        self.broker = RedisBroker(url=place.url())

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Queue:
        return Queue(self.broker, name.strip("/"))

    def clear(self, queue: Queue) -> None:
        self.broker.flush(queue.name)

    def remove(self, shared: Queue) -> None:
        self.broker.flush(shared.name)

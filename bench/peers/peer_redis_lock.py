"""The lock of python-redis-lock."""

from typing import Any

import place
import redis
import redis_lock
from peer import AbstractPeer


class Peer(AbstractPeer):
    def __init__(self) -> None:
        self.client = redis.Redis.from_url(place.url())

    def lock(self, name: str) -> Any:
        return redis_lock.Lock(self.client, name, expire=10)

    def remove(self, shared: Any) -> None:
        shared.reset()

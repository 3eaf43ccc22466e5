"""What is measured of objects on a server, beside the operations that both places have."""

import asyncio
import os
import time
from itertools import repeat
from mmap import mmap
from time import perf_counter_ns as clock
from typing import Any

from forked import fork
from operation import Operation
from operations import SendReceive
from peer import AbstractPeer
from place import Bare

BATCH = 500  # messages
_WARM_UP = 20  # untimed calls before a sample: other processes have used the processor meanwhile
_SETTLE = 1.0  # seconds until the waits have come to rest
_TIMEOUT = 0.05  # seconds of a wait in which nothing comes


class Send(SendReceive):
    """To a queue that nobody receives from; it is emptied after each sample."""

    max_messages = 1_000_000

    def run(self, n: int) -> list[int]:
        queue, message = self.queue, self.message
        for _ in repeat(None, _WARM_UP):
            queue.send(message)
        start = clock()
        for _ in repeat(None, n):
            queue.send(message)
        took = clock() - start
        self.peer.clear(queue)
        return [took]


class Receive(Send):
    """Of messages that are there."""

    def run(self, n: int) -> list[int]:
        queue = self.queue
        self.peer.send_batch(queue, [self.message] * (_WARM_UP + n))
        for _ in repeat(None, _WARM_UP):
            queue.receive()
        start = clock()
        for _ in repeat(None, n):
            queue.receive()
        return [clock() - start]


class SendBatch(Send):
    """`BATCH` messages in one call."""

    def run(self, n: int) -> list[int]:
        queue, messages, send = self.queue, [self.message] * BATCH, self.peer.send_batch
        took = 0
        for _ in repeat(None, n):
            start = clock()
            send(queue, messages)
            took += clock() - start
            self.peer.clear(queue)
        return [took]


class Waiting(Operation):
    """`size` coroutines of one loop that wait for messages of as many queues."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer = peer
        self.queues = [peer.queue(f"{name}-{number}", 10, limit) for number in range(size)]

    def run(self, n: int) -> list[int]:
        """What waiting takes for `n` milliseconds: the processor time, the connections and the
        threads. Then the time from the first message of another process to the last receipt."""
        page = mmap(-1, 8)
        begun = memoryview(page).cast("q")
        bare = Bare()

        def give() -> None:
            own = [self.peer.reopen(queue) for queue in self.queues]
            begun[0] = clock()
            for queue in own:
                queue.send(b"x")

        async def wait() -> list[int]:
            waits = [asyncio.create_task(queue.receive_async()) for queue in self.queues]
            await asyncio.sleep(_SETTLE)
            used = time.process_time_ns()
            await asyncio.sleep(n / 1000)
            used = time.process_time_ns() - used
            assert not any(wait.done() for wait in waits)
            connections, threads = bare.clients(), len(os.listdir("/proc/self/task"))
            giver = fork(give)
            await asyncio.gather(*waits)
            ended = clock()
            os.waitpid(giver, 0)
            return [used, connections, threads, ended - begun[0]]

        try:
            return asyncio.run(wait())
        finally:
            bare.close()

    def close(self) -> None:
        for queue in self.queues:
            self.peer.remove(queue)


class Deadline(Operation):
    """How much later than its deadline a wait ends in which nothing came."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.queue = peer, peer.queue(name, 10, limit)

    def trace(self, n: int) -> list[int]:
        queue: Any = self.queue
        times = []
        for _ in repeat(None, n):
            start = clock()
            received = queue.receive(timeout=_TIMEOUT)
            times.append(clock() - start - round(_TIMEOUT * 1e9))
            assert received is None, received
        return times

    def close(self) -> None:
        self.peer.remove(self.queue)


OPERATIONS = {
    "send": Send,
    "receive": Receive,
    "send_batch_of_many": SendBatch,
    "waiting": Waiting,
    "deadline": Deadline,
}

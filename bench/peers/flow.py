"""Messages that go one way, as fast as they can."""

import os
import struct
from itertools import repeat
from time import perf_counter_ns as clock
from time import process_time_ns
from typing import Any

from forked import end, fork
from operation import Operation
from pairs import PLACEMENT
from peer import AbstractPeer

FLOW_BATCH = 64  # messages
_COUNT = struct.Struct("q")


class Flow(Operation):
    """Forked processes, as many as `limit`, send messages of `size` bytes to this one."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.channel = peer, peer.channel(name, size)
        self.message = b"x" * size
        self.reports, self.report = os.pipe()
        self.commands: list[int] = []
        self.senders: list[int] = []
        for _ in range(limit):
            orders, command = os.pipe()
            self.commands.append(command)
            self.senders.append(fork(lambda orders=orders: self.serve(orders)))  # type: ignore[misc]
            os.close(orders)

    def serve(self, orders: int) -> None:
        own = self.peer.reopen(self.channel)
        while order := os.read(orders, _COUNT.size):
            (n,) = _COUNT.unpack(order)
            PLACEMENT.move_to(PLACEMENT.allowed[-1])
            self.say(0)
            os.read(orders, _COUNT.size)
            used = process_time_ns()
            self.send(own, n)
            # All has been received then: what a thread of the peer did after `send` is in the time.
            os.read(orders, _COUNT.size)
            self.say(process_time_ns() - used)

    def say(self, number: int) -> None:
        os.write(self.report, _COUNT.pack(number))

    def all(self, number: int) -> list[int]:
        """Tells it to all senders; the next that each of them says."""
        self.tell(number)
        return self.heard()

    def tell(self, number: int) -> None:
        for command in self.commands:
            os.write(command, _COUNT.pack(number))

    def heard(self) -> list[int]:
        said = (os.read(self.reports, _COUNT.size) for _ in self.senders)
        return [int(_COUNT.unpack(number)[0]) for number in said]

    def send(self, channel: Any, n: int) -> None:
        message = self.message
        for _ in repeat(None, n):
            channel.send(message)

    def receive(self, n: int) -> None:
        channel = self.channel
        for _ in repeat(None, n):
            channel.receive()

    def run(self, n: int) -> list[int]:
        """The nanoseconds until all were received, and the processor time of all processes."""
        each = max(1, n // len(self.senders))
        self.all(each)
        PLACEMENT.move_to(PLACEMENT.allowed[0])
        used, start = process_time_ns(), clock()
        self.tell(0)
        self.receive(each * len(self.senders))
        took, used = clock() - start, process_time_ns() - used
        scale = n / (each * len(self.senders))
        return [int(took * scale), int((used + sum(self.all(0))) * scale)]

    def close(self) -> None:
        for sender in self.senders:
            end(sender)
        for fd in (self.reports, self.report, *self.commands):
            os.close(fd)
        self.peer.remove(self.channel)


class FlowOfBatches(Flow):
    """The same, `FLOW_BATCH` messages at a time."""

    def send(self, channel: Any, n: int) -> None:
        messages, send = [self.message] * FLOW_BATCH, self.peer.send_batch
        for _ in repeat(None, n):
            send(channel, messages)

    def receive(self, n: int) -> None:
        channel, receive = self.channel, self.peer.receive_some
        left = n * FLOW_BATCH
        while left > 0:
            left -= receive(channel, FLOW_BATCH)

"""The operations by name. Each is made as `Operation(peer, name, size, limit)`; what `size` and
`limit` mean is the operation's own."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import repeat
from time import perf_counter_ns as clock
from typing import Any

from coroutines import Coroutines
from crowd import Crowd
from deaths import LockDeath, LockDeathAsleep
from flow import FLOW_BATCH, Flow, FlowOfBatches
from idle import Idle
from operation import Operation
from pairs import (
    ChannelRoundTrip,
    LockHandOver,
    LockRoundTrip,
    LockWakeUp,
    QueueRoundTrip,
    QueueWakeUp,
    SemaphoreRoundTrip,
    SemaphoreWakeUp,
)
from peer import AbstractPeer

BATCH = 10  # messages: what an unprivileged queue holds by default


class AcquireRelease(Operation):
    """Uncontended, as two calls."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.semaphore = peer, peer.semaphore(name, 1)

    def run(self, n: int) -> list[int]:
        semaphore = self.semaphore
        start = clock()
        for _ in repeat(None, n):
            semaphore.acquire()
            semaphore.release()
        return [clock() - start]

    def close(self) -> None:
        self.peer.remove(self.semaphore)


class WithStatement(AcquireRelease):
    def run(self, n: int) -> list[int]:
        semaphore = self.semaphore
        start = clock()
        for _ in repeat(None, n):
            with semaphore:
                pass
        return [clock() - start]


class LockAcquireRelease(AcquireRelease):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.semaphore = peer, peer.lock(name)


class LockWithStatement(WithStatement):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.semaphore = peer, peer.lock(name)


class BoundedAcquireRelease(AcquireRelease):
    """The bound is `size`."""

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.semaphore = peer, peer.bounded_semaphore(name, size)


class SendReceive(Operation):
    """A message of `size` bytes through a queue whose messages may have `limit` bytes."""

    max_messages = 2

    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.queue = peer, peer.queue(name, self.max_messages, limit)
        self.message = b"x" * size

    def run(self, n: int) -> list[int]:
        queue, message = self.queue, self.message
        start = clock()
        for _ in repeat(None, n):
            queue.send(message)
            queue.receive()
        return [clock() - start]

    def close(self) -> None:
        self.peer.remove(self.queue)


class Batch(SendReceive):
    """`BATCH` messages sent, then received."""

    max_messages = BATCH

    def run(self, n: int) -> list[int]:
        queue, messages = self.queue, [self.message] * BATCH
        send, receive = self.peer.send_batch, self.peer.receive_batch
        start = clock()
        for _ in repeat(None, n):
            send(queue, messages)
            receive(queue, BATCH)
        return [clock() - start]


class ChannelSendReceive(SendReceive):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        self.peer, self.queue = peer, peer.channel(name, size)
        self.message = b"x" * size
        peer.connect(self.queue)


class ChannelBatch(ChannelSendReceive):
    """`FLOW_BATCH` messages sent, then received."""

    def run(self, n: int) -> list[int]:
        queue, messages = self.queue, [self.message] * FLOW_BATCH
        send, receive = self.peer.send_batch, self.peer.receive_batch
        start = clock()
        for _ in repeat(None, n):
            send(queue, messages)
            receive(queue, FLOW_BATCH)
        return [clock() - start]


class ChannelSingle(ChannelSendReceive):
    """As many messages, each sent and received by itself."""

    def run(self, n: int) -> list[int]:
        return super().run(n * FLOW_BATCH)


class Repeated(Operation):
    """A function of the peer's, called again and again."""

    def __init__(self, function: Callable[..., None], *args: Any) -> None:
        self.function, self.args = function, args

    def run(self, n: int) -> list[int]:
        function, args = self.function, self.args
        start = clock()
        for _ in repeat(None, n):
            function(*args)
        return [clock() - start]


class AttachSegment(Repeated):
    def __init__(self, peer: AbstractPeer, name: str, size: int, limit: int) -> None:
        super().__init__(peer.attach_segment, name)
        with ExitStack() as stack:
            stack.enter_context(peer.segment(name, size))
            self.stack = stack.pop_all()

    def close(self) -> None:
        self.stack.close()


def segment_create(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(peer.create_segment, name, size)


def segment_create_sparse(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(peer.create_sparse_segment, name, size)


def semaphore_create(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(lambda: peer.remove(peer.semaphore(name, 1)))


def lock_create(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(lambda: peer.remove(peer.lock(name)))


def queue_create(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(lambda: peer.remove(peer.queue(name, 2, limit)))


def channel_create(peer: AbstractPeer, name: str, size: int, limit: int) -> Operation:
    return Repeated(lambda: peer.remove(peer.channel(name, size)))


OPERATIONS: dict[str, Callable[[AbstractPeer, str, int, int], Operation]] = {
    "acquire_release": AcquireRelease,
    "with_statement": WithStatement,
    "lock_acquire_release": LockAcquireRelease,
    "lock_with_statement": LockWithStatement,
    "bounded_acquire_release": BoundedAcquireRelease,
    "send_receive": SendReceive,
    "batch": Batch,
    "semaphore_round_trip": SemaphoreRoundTrip,
    "semaphore_wake_up": SemaphoreWakeUp,
    "lock_round_trip": LockRoundTrip,
    "lock_hand_over": LockHandOver,
    "lock_wake_up": LockWakeUp,
    "lock_death": LockDeath,
    "lock_death_asleep": LockDeathAsleep,
    "queue_round_trip": QueueRoundTrip,
    "queue_wake_up": QueueWakeUp,
    "channel_send_receive": ChannelSendReceive,
    "channel_batch": ChannelBatch,
    "channel_batch_single": ChannelSingle,
    "channel_round_trip": ChannelRoundTrip,
    "channel_flow": Flow,
    "channel_flow_of_batches": FlowOfBatches,
    "segment_create": segment_create,
    "segment_create_sparse": segment_create_sparse,
    "segment_attach": AttachSegment,
    "semaphore_create": semaphore_create,
    "lock_create": lock_create,
    "queue_create": queue_create,
    "channel_create": channel_create,
    "coroutines": Coroutines,
    "crowd": Crowd,
    "idle": Idle,
}

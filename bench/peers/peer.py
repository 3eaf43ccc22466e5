"""What a peer has to offer. Its semaphores and locks have `acquire`, `release` and `with`, its
queues and channels `send` and `receive`, so that the measured loops call the peer itself and
nothing of ours."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any


class AbstractPeer:
    def semaphore(self, name: str, value: int) -> Any:
        """Creates a semaphore."""
        raise NotImplementedError

    def queue(self, name: str, max_messages: int, max_message_size: int) -> Any:
        """Creates a queue."""
        raise NotImplementedError

    def lock(self, name: str) -> Any:
        """Creates a lock."""
        raise NotImplementedError

    def bounded_semaphore(self, name: str, bound: int) -> Any:
        """Creates a semaphore that is never above its bound."""
        raise NotImplementedError

    def channel(self, name: str, size: int) -> Any:
        """Creates what brings messages of `size` bytes from process to process. It holds some of
        them: as many as the peer's own default, or its limits, or 16 MiB allow."""
        raise NotImplementedError

    def connect(self, channel: Any) -> None:
        """This process is going to be at both ends of the channel."""

    def reopen(self, shared: Any) -> Any:
        """A forked child's own handle of what its parent has."""
        raise NotImplementedError

    def remove(self, shared: Any) -> None:
        """Closes and unlinks a semaphore, lock, queue or channel."""
        raise NotImplementedError

    def clear(self, queue: Any) -> None:
        """Empties a queue."""
        raise NotImplementedError

    def segment(self, name: str, size: int) -> AbstractContextManager[Any]:
        """A segment that exists as long as the block runs."""
        raise NotImplementedError

    def create_segment(self, name: str, size: int) -> None:
        """Creates a segment, maps it, touches it, unmaps and unlinks it."""
        raise NotImplementedError

    def create_sparse_segment(self, name: str, size: int) -> None:
        """The same without memory reserved."""
        raise NotImplementedError

    def attach_segment(self, name: str) -> None:
        """Opens a segment that exists, maps and unmaps it."""
        raise NotImplementedError

    def send_batch(self, queue: Any, messages: Sequence[bytes]) -> None:
        """Sends them all, the best way the peer has."""
        for message in messages:
            queue.send(message)

    def receive_batch(self, queue: Any, count: int) -> None:
        for _ in range(count):
            queue.receive()

    def receive_some(self, channel: Any, most: int) -> int:
        """Waits for a message, and takes with it what else there is; how many that were."""
        raise NotImplementedError

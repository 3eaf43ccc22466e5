"""The package `iceoryx2`: a publisher and a subscriber on memory that they share. The publisher
waits for room; a subscriber has no call that waits, so it polls.

Its files go into a directory of the channel's, and in /dev/shm they begin with the channel's name:
what is left of them can be told from those of others."""

import ctypes
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import iceoryx2
from peer import AbstractPeer

_MOST_SENDERS = 4
_MOST_PROCESSES = 8
_ROOM = 16 << 20
_MOST = 256  # messages
_PAUSE = 0.001  # seconds

iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)


class Channel:
    """The ends are made in the process that uses them, at its first message."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name.removeprefix("/"), size
        self.kept: list[Any] = []
        self.send: Callable[[bytes], None] = self._send_first
        self.receive: Callable[[], bytes] = self._receive_first

    def _service(self) -> Any:
        config = iceoryx2.config.default()
        config.global_cfg.prefix = iceoryx2.FileName.new(f"{self.name}_")
        config.global_cfg.root_path = iceoryx2.Path.new(str(self.directory))
        node = (
            iceoryx2.NodeBuilder.new()
            .config(config)
            .signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled)
            .create(iceoryx2.ServiceType.Ipc)
        )
        self.kept.append(node)
        return (
            node.service_builder(iceoryx2.ServiceName.new("messages"))
            .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(max(1, min(_MOST, _ROOM // self.size)))
            .max_publishers(_MOST_SENDERS)
            .max_nodes(_MOST_PROCESSES)
            .open_or_create()
        )

    @property
    def directory(self) -> Path:
        return Path(tempfile.gettempdir()) / self.name

    def _sender(self) -> Callable[[bytes], None]:
        service = self._service()
        publisher = (
            service.publisher_builder()
            .initial_max_slice_len(self.size)
            .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
            .create()
        )
        while service.dynamic_config.number_of_subscribers == 0:
            time.sleep(_PAUSE)  # who subscribes later gets nothing of what was sent before
        self.kept += [service, publisher]
        loan, copy = publisher.loan_slice_uninit, ctypes.memmove

        def send(message: bytes) -> None:
            length = len(message)
            sample = loan(length)
            copy(sample.payload_ptr, message, length)
            sample.assume_init().send()

        return send

    def _receiver(self) -> Callable[[], bytes]:
        service = self._service()
        subscriber = service.subscriber_builder().create()
        self.kept += [service, subscriber]
        receive_sample, copy, size = subscriber.receive, ctypes.string_at, self.size

        def receive() -> bytes:
            while (sample := receive_sample()) is None:
                pass
            message = copy(sample.payload_ptr, size)
            sample.delete()
            return message

        return receive

    def _send_first(self, message: bytes) -> None:
        self.send = self._sender()
        self.send(message)

    def _receive_first(self) -> bytes:
        self.connect()
        return self.receive()

    def connect(self) -> None:
        self.receive = self._receiver()

    def close(self) -> None:
        self.send, self.receive = self._send_first, self._receive_first
        while self.kept:
            self.kept.pop()  # what was made last goes first


class Peer(AbstractPeer):
    def channel(self, name: str, size: int) -> Channel:
        return Channel(name, size)

    def connect(self, channel: Channel) -> None:
        channel.connect()

    def reopen(self, shared: Channel) -> Channel:
        return Channel(shared.name, shared.size)

    def remove(self, shared: Channel) -> None:
        """Also what processes that have ended left."""
        shared.close()
        for path in Path("/dev/shm").glob(f"{shared.name}_*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(shared.directory, ignore_errors=True)

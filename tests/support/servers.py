"""Redis and Valkey servers, as children of the tests, and a proxy that cuts connections."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from support.checks import WATCHDOG

NAMES = ("redis-server", "valkey-server")


def programs() -> list[str]:
    """The one that NOB_IPC_REDIS_SERVER names, else those of the path."""
    named = os.environ.get("NOB_IPC_REDIS_SERVER")
    return [named] if named else [found for name in NAMES if (found := shutil.which(name))]


def each_server() -> list[str]:
    """The servers, to be parameters of a fixture; one that is skipped where there is none."""
    return programs() or ["none"]


_ports = itertools.count(10_000 + os.getpid() % 20_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, below those that Linux gives to connections."""
    for port in _ports:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Server:
    """A server in a directory of its own, until the end of the block."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        if program == "none":
            pytest.skip("there is no redis-server and no valkey-server on this machine")
        self.program = program
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, also again after it was killed."""
        assert self._process is None
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + WATCHDOG
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.02)

    def _arguments(self) -> list[str]:
        return [
            *(self.program, "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--dir", str(self.folder), "--loglevel", "warning"),
            *self.options,
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.command("PING").startswith(("+PONG", "-NOAUTH"))
        return False

    def kill(self) -> None:
        """End it at once, as a loss of power does to it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(WATCHDOG)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It answers nobody until the end of the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def command(self, *words: str) -> str:
        """The raw answer to a command; for the tests, past the library."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
        with socket.create_connection(("127.0.0.1", self.port), WATCHDOG) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        return answer.decode(errors="replace")

    def connections(self) -> int:
        """How many clients are connected, this question's own left out."""
        return self.command("CLIENT", "LIST").count(" fd=") - 1


class Sentinel(Server):
    """Watches a primary under the name `primary`, and is enough by itself to replace it."""

    def __init__(self, primary: Server, folder: Path) -> None:
        super().__init__(primary.program, folder)
        self.url = f"redis+sentinel://127.0.0.1:{self.port}/primary"
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor primary 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds primary 1000\n"
            "sentinel failover-timeout primary 5000\n"
        )

    def _arguments(self) -> list[str]:
        return [self.program, str(self.folder / "sentinel.conf"), "--sentinel"]


class CuttingProxy:
    """Stands before a server: answers are late, or a connection is cut instead of one."""

    def __init__(self, server: Server, share: float, seed: int) -> None:
        self._server = server
        self._share = share
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self.delay = 0.0
        """Seconds by which answers are late."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._share = 0
        # Wakes who accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server.port), WATCHDOG)
                server.settimeout(None)
                for ends in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self._random.random() < self._share:
                    self.cuts += 1
                    break
                if answers and self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            if end is source:
                end.close()

"""Redis and Valkey servers, alone, in pairs and clusters, and a proxy that cuts connections."""

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
from typing import BinaryIO, Self

import pytest

from support.checks import WATCHDOG, eventually

NAMES = ("redis-server", "valkey-server")


def programs() -> list[str]:
    """Those that NOB_IPC_REDIS_SERVER names, with colons between, else those of the path."""
    if named := os.environ.get("NOB_IPC_REDIS_SERVER"):
        return named.split(os.pathsep)
    return [found for name in NAMES if (found := shutil.which(name))]


def each_server() -> list[str]:
    """The servers, to be parameters of a fixture; one that is skipped where there is none."""
    return programs() or ["none"]


_steps = itertools.count(os.getpid())
_taken: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and no other process of the tests gets.

    With the one 10,000 above, which a cluster also uses, it is below those that Linux gives to
    connections. A socket of datagrams, which no server has, keeps it for as long as this process
    lives: its server may be down for a while.
    """
    for step in _steps:
        port = 10_000 + step % 10_000
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            for each in (port, port + 10_000):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", each))
        except OSError:
            mark.close()
        else:
            _taken.append(mark)
            return port
    raise AssertionError("no port is free")


def _answer(stream: BinaryIO) -> bytes:
    """One value of the protocol, as it comes."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError(f"the server has ended the connection after {line!r}")
    kind, number = line[:1], line[1:-2]
    if kind == b"$" and number != b"-1":
        return line + stream.read(int(number) + 2)
    if kind == b"*" and number != b"-1":
        return line + b"".join(_answer(stream) for _ in range(int(number)))
    return line


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
        try:
            while not self._answers():
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.02)
        except BaseException:
            self.kill()
            raise

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
        # Nothing says that no more will be asked: Redis 8 leaves a connection unanswered that has
        # been half closed.
        with (
            socket.create_connection(("127.0.0.1", self.port), WATCHDOG) as connection,
            connection.makefile("rb") as stream,
        ):
            connection.sendall(request.encode())
            return _answer(stream).decode(errors="replace")

    def demand(self, *words: str) -> str:
        """The same, of a command that may not be refused."""
        answer = self.command(*words)
        assert not answer.startswith("-"), f"{words}: {answer}"
        return answer

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


def _confirms(primary: Server) -> bool:
    """Whether a replica has caught up, and has said so."""
    lines = primary.command("INFO", "replication").splitlines()
    return any("state=online" in line and "offset=0," not in line for line in lines)


@contextlib.contextmanager
def watched(program: str, folder: Path) -> Iterator[tuple[Server, Server, Sentinel]]:
    """A primary, its replica, and a sentinel that knows both."""
    for name in ("primary", "replica", "sentinel"):
        (folder / name).mkdir()
    with contextlib.ExitStack() as stack:
        options = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
        options += ("--repl-ping-replica-period", "1")
        primary = stack.enter_context(Server(program, folder / "primary", *options))
        options += ("--replicaof", "127.0.0.1", str(primary.port))
        replica = stack.enter_context(Server(program, folder / "replica", *options))
        eventually(lambda: _confirms(primary), "a replica")
        sentinel = stack.enter_context(Sentinel(primary, folder / "sentinel"))
        known = ("SENTINEL", "REPLICAS", "primary")
        eventually(lambda: "127.0.0.1" in sentinel.command(*known), "a sentinel that knows it")
        yield primary, replica, sentinel


class Cluster:
    """Three primaries that share the slots evenly, until the end of the block."""

    SLOTS = 16384

    def __init__(self, program: str, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
        self.nodes = []
        for number in range(3):
            (folder / str(number)).mkdir()
            self.nodes.append(Server(program, folder / str(number), *options))
        # The others are found by this one.
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[0].port}"
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        share = self.SLOTS // 3 + 1
        with contextlib.ExitStack() as stack:
            for number, node in enumerate(self.nodes):
                stack.enter_context(node)
                last = min((number + 1) * share, self.SLOTS) - 1
                node.demand("CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last))
                node.demand("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
                node.demand("CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
            eventually(lambda: all(map(self._is_ready, self.nodes)), "a cluster")
            self._stack = stack.pop_all()
        return self

    @staticmethod
    def _is_ready(node: Server) -> bool:
        info = node.command("CLUSTER", "INFO")
        return "cluster_state:ok" in info and "cluster_known_nodes:3" in info

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def slot(self, key: str) -> int:
        return int(self.nodes[0].demand("CLUSTER", "KEYSLOT", key)[1:])

    def owner(self, key: str) -> int:
        """The number of the node that has had it from the beginning."""
        return self.slot(key) // (self.SLOTS // 3 + 1)

    def move(self, key: str) -> None:
        """Have the slot of a key move to the next node."""
        number, slot = self.owner(key), str(self.slot(key))
        source, target = self.nodes[number], self.nodes[(number + 1) % 3]
        source_id, target_id = (
            node.demand("CLUSTER", "MYID").splitlines()[1] for node in (source, target)
        )
        target.demand("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.demand("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.demand("CLUSTER", "GETKEYSINSLOT", slot, "10").splitlines()[2::2]:
            for each in keys:
                # One that has ended meanwhile is no matter: +NOKEY.
                source.demand("MIGRATE", "127.0.0.1", str(target.port), each, "0", "1000")
        for node in (target, source):
            node.demand("CLUSTER", "SETSLOT", slot, "NODE", target_id)


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

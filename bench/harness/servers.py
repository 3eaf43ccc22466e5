"""A Redis or Valkey server and the proxy that delays, as children of the run."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.environments import BENCH, BuildError, run

_NAMES = ("redis-server", "valkey-server")
_START_WITHIN = 10.0  # seconds
# Below the ports that Linux gives to connections.
_ports = itertools.count(10_000 + os.getpid() % 20_000)
DELAY_MS = 1  # each way


def program() -> str:
    """The one that NOB_IPC_REDIS_SERVER names, else one of the path."""
    named = os.environ.get("NOB_IPC_REDIS_SERVER")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise BuildError(
            "the benchmark of objects on a server needs redis-server or valkey-server: install one "
            "(its service need not run), or name one in NOB_IPC_REDIS_SERVER"
        )
    return found


def version() -> str:
    words = dict(word.split("=", 1) for word in run(program(), "--version").split() if "=" in word)
    return f"{Path(program()).name} {words['v']}"


def _free_port() -> int:
    for port in _ports:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def server(on_one_processor: bool = False) -> Iterator[int]:
    """The port of a server that keeps everything in memory, as long as the block runs.
    `on_one_processor`: on that of the workers whose placement is `one`; see peers/pairs.py."""
    port = _free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nob-bench-server-"))
        log = stack.enter_context((Path(folder) / "log").open("w+"))
        process = subprocess.Popen(
            [
                *(program(), "--bind", "127.0.0.1", "--port", str(port), "--dir", folder),
                *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            text=True,
        )
        stack.enter_context(_ended(process))
        if on_one_processor:
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        end = time.monotonic() + _START_WITHIN
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                log.seek(0)
                raise BuildError(f"{program()} does not answer:\n{log.read()}")
            time.sleep(0.02)
        yield port


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64) == b"+PONG\r\n"
    return False


@contextmanager
def delayed(port: int) -> Iterator[int]:
    """The port of a proxy before the server at `port`, as long as the block runs."""
    process = subprocess.Popen(
        [
            *(sys.executable, str(BENCH / "peers" / "delay.py")),
            *(str(port), str(next(_ports)), str(DELAY_MS)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    with _ended(process):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BuildError("the proxy that delays has ended: its error is above")
        yield int(line)


def settings(port: int) -> dict[str, str]:
    """What tells a worker where the server is: see peers/place.py."""
    return {"NOB_BENCH_URL": f"redis://127.0.0.1:{port}"}

"""Worker processes: one per peer, alive for the whole run, commanded over pipes."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.environments import BENCH, HOME, clean_environment

Key = tuple[str, ...]  # peer, placement (see peers/pairs.py), and what else tells them apart
_ADAPTERS = {"original": "nob"}  # where the adapter has another name than the environment
_ANSWER_WITHIN = 60.0
_END_WITHIN = 5.0


class WorkerError(Exception):
    """What a worker reported, or that it is no more."""


class Worker:
    def __init__(
        self, command: Sequence[str | Path], log: Path, settings: Mapping[str, str]
    ) -> None:
        self.log = log
        with log.open("w") as errors:
            # A session of its own: Ctrl-C reaches the harness alone, and its children end with it.
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                env={**clean_environment(), **settings},
                start_new_session=True,
            )
        self.unread = b""

    def ask(self, *words: object, within: float = _ANSWER_WITHIN) -> list[int]:
        self.tell(*words)
        return self.answer(within)

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self, within: float = _ANSWER_WITHIN) -> list[int]:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + within
        while b"\n" not in self.unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                self.kill()
                raise WorkerError(f"no answer within {within:.0f} s")
            part = os.read(fd, 1 << 16)
            if not part:
                raise self._ended()
            self.unread += part
        line, self.unread = self.unread.split(b"\n", 1)
        status, *values = line.decode().split()
        if status != "ok":
            raise WorkerError(" ".join(values))
        return [int(value) for value in values]

    def _ended(self) -> WorkerError:
        self.kill()
        last = self.log.read_text().strip().splitlines()[-1:]
        why = last[0] if last else f"status {self.process.returncode}"
        return WorkerError(f"the worker has ended: {why}")

    def kill(self) -> None:
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Lets the worker clean up, for a while."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process.stdout.close()


@contextmanager
def busy_loops() -> Iterator[None]:
    """One on each processor, as long as the block runs."""
    loops = [
        subprocess.Popen(
            [sys.executable, BENCH / "peers" / "busy.py", str(processor)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for processor in os.sched_getaffinity(0)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Workers:
    """Those of one run. All have ended when the block has. `settings` are variables of their
    environment."""

    def __init__(
        self,
        pythons: dict[str, Path],
        raw: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.pythons, self.raw, self.settings = pythons, raw, settings or {}
        self.peers = {*pythons, *(["raw"] if raw else [])}  # those that are there
        self.started: list[Worker] = []
        self.by_key: dict[Key, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.started:
            worker.stop()

    def start(self, peer: str, placement: str = "free", log_name: str | None = None) -> Worker:
        logs = HOME / "log"
        logs.mkdir(parents=True, exist_ok=True)
        module = _ADAPTERS.get(peer, peer)
        command: list[str | Path] = (
            [self.raw]
            if peer == "raw" and self.raw
            else [self.pythons[peer], "-s", BENCH / "peers" / "worker.py", module]
        )
        name = log_name or f"{peer}-{placement}"
        worker = Worker([*command, placement], logs / f"{name}.log", self.settings)
        self.started.append(worker)
        return worker

    def get(self, key: Key) -> Worker:
        """The worker that does the rounds, started when first asked for."""
        if key not in self.by_key:
            peer, placement, *_ = key
            self.by_key[key] = self.start(peer, placement, log_name="-".join(key))
        return self.by_key[key]

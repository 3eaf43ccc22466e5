"""The examples run as they stand, show what they are to show, and leave nothing behind."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance, eventually
from support.kinds import QUEUE
from support.servers import Server, programs
from support.system import made_by, members, remove_random_names_of

from nob import ipc
from nob.ipc import list_objects

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

TALK = {"demo.py", "queue.py"}
"""Those that share a queue with a name; all others make random names."""

PROGRAMS = {"add_reader.py", "pipeline.py", "pool.py", "shared_array.py", "workers.py"}


WITH_METHOD = """
import multiprocessing, runpy, sys
multiprocessing.set_start_method(sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def examples(tmp_path: Path, name: str) -> Path:
    """A copy of the examples, with a name of its own in place of the one that all users share."""
    for file in EXAMPLES.glob("*.py"):
        code, changed = re.subn('"/test_queue"', f'"{name}"', file.read_text(encoding="utf-8"))
        assert changed == (file.name in TALK), "it uses another name now: see to it here, too"
        (tmp_path / file.name).write_text(code, encoding="utf-8")
    return tmp_path


def group_exists(group: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


@contextlib.contextmanager
def running(
    program: Path, *arguments: str, method: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """An example in a process group of its own, which is expected to be empty afterwards.

    The method is the one by which multiprocessing starts its processes, if not the interpreter's.
    """
    command = [str(program)] if method is None else ["-c", WITH_METHOD, method, str(program)]
    process = subprocess.Popen(
        [sys.executable, *command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        # The tracker of spawned processes sees a moment later that nobody needs it.
        eventually(lambda: not group_exists(process.pid), "the end of all processes")
    finally:
        killed = members(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        remove_random_names_of(*killed)
        assert not made_by(process.pid)


def test_a_failure_here_leaves_nothing_behind(examples: Path) -> None:
    found = []

    def fail() -> None:
        with running(examples / "pipeline.py", "--numbers", "10000000") as process:
            found.append(eventually(lambda: Pipeline.find(process.pid), "the whole pipeline"))
            assert made_by(process.pid), "its semaphore"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found[0].is_gone()


def test_all_examples_are_run_here() -> None:
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == TALK | PROGRAMS


def test_the_demonstration(examples: Path, name: str) -> None:
    with running(examples / "demo.py") as demo:
        output, errors = demo.communicate(timeout=WATCHDOG)
    assert (demo.returncode, errors) == (0, ""), output
    # The program queue.py, run twice.
    assert "Message sent" in output
    assert "Received message: 'Hello there!' with priority 0" in output
    # With the semaphore, one sentence follows the other.
    assert re.search(r"with it +(after you.*INSIST|NO NO.*please)! $", output, re.MULTILINE)
    assert "none twice" in output
    assert "nothing is left" in output
    assert "\x1b" not in output, "colours are for terminals"
    assert not QUEUE.exists(name)


@pytest.mark.parametrize("found", [True, False])
def test_the_demonstration_of_a_server(
    examples: Path, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found and not programs():
        pytest.skip("there is no redis-server and no valkey-server on this machine")
    if not found:
        monkeypatch.delenv("NOB_IPC_REDIS_SERVER", raising=False)
        monkeypatch.setenv("PATH", str(examples))
    with running(examples / "demo.py", "server") as demo:
        output, errors = demo.communicate(timeout=WATCHDOG)
    assert (demo.returncode, errors) == (0, ""), output
    assert ("as it is" in output and "each word once" in output) == found
    assert ("there is no redis-server" in output) == (not found)


def test_the_demonstration_finds_its_queue_taken(examples: Path, name: str) -> None:
    with QUEUE.create(name) as queue:
        with running(examples / "demo.py") as demo:
            _, errors = demo.communicate(timeout=WATCHDOG)
        assert demo.returncode == 1
        assert name in errors
        assert "unlink_name" in errors
        assert "Traceback" not in errors
        assert queue.current_messages == 0


@pytest.mark.parametrize("part", ["talk", "take turns", "paint"])
def test_the_demonstration_is_interrupted(examples: Path, name: str, part: str) -> None:
    """Ctrl-C: the terminal sends it to all processes of the group."""
    with running(examples / "demo.py") as demo:
        assert demo.stdout is not None
        while part not in demo.stdout.readline():
            assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=WATCHDOG)
    assert demo.returncode == 130
    assert not QUEUE.exists(name)


def words(example: Path, *arguments: str) -> str:
    """What an example says when all goes well."""
    with running(example, *arguments) as process:
        output, errors = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, errors) == (0, ""), output + errors
    return output


def test_add_reader(examples: Path) -> None:
    output = words(examples / "add_reader.py")
    assert re.findall(r"Received '(\w+)'", output) == ["one", "two", "three", "bye"]


def test_shared_array(examples: Path) -> None:
    pytest.importorskip("numpy", reason="numpy cannot be imported here", exc_type=ImportError)
    assert "8000 numbers by 8 tasks: right" in words(examples / "shared_array.py")


def test_workers(examples: Path) -> None:
    output = words(examples / "workers.py")
    for method in ("fork", "spawn"):
        assert f"{method}: the squares end with [9409, 9604, 9801]" in output


@conformance("R1")
def test_the_pool(examples: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOB_IPC_URL", raising=False)
    output = words(examples / "pool.py", "run", "--name", name, "--numbers", "200")
    assert "200 squares on local:, the last is 39601" in output
    assert not QUEUE.exists(f"{name}-jobs")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The first of the servers that there are."""
    program = next(iter(programs()), "none")
    with Server(program, tmp_path_factory.mktemp("server")) as server:
        yield server


def eventually_opened(place: ipc.Connection, name: str) -> Any:
    """A queue that another process makes."""

    def opened() -> Any:
        with contextlib.suppress(FileNotFoundError):
            return place.NamedMessageQueue(name)
        return None

    return eventually(opened, name)


@conformance("R1")
def test_the_pool_on_a_server(
    examples: Path, server: Server, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers join and are killed, and all jobs are done."""
    monkeypatch.setenv("NOB_IPC_URL", server.url)
    pool, options = examples / "pool.py", ("--name", name)
    with (
        ipc.connect() as place,
        running(pool, "run", *options, "--numbers", "3000", "--workers", "0") as run,
    ):
        jobs, results = (eventually_opened(place, f"{name}-{what}") for what in ("jobs", "results"))
        eventually(lambda: jobs.current_messages > 0, "the first jobs")
        # So that there are results that nobody takes.
        os.kill(run.pid, signal.SIGSTOP)
        with running(pool, "work", *options) as worker:
            eventually(lambda: results.current_messages > 0, "a worker that works")
            worker.kill()
            worker.communicate(timeout=WATCHDOG)
        os.kill(run.pid, signal.SIGCONT)
        with running(pool, "work", *options) as worker:
            output, errors = run.communicate(timeout=WATCHDOG)
            assert (run.returncode, errors) == (0, ""), output + errors
            assert f"3000 squares on {server.url}, the last is {2999**2}" in output
            output, errors = worker.communicate(timeout=WATCHDOG)
            assert (worker.returncode, errors) == (0, ""), output + errors
            assert "jobs done" in output


RESULT = re.compile(r"(\d+) = ([\d * ]+)( \(urgent\))?$", re.MULTILINE)


def results(output: str) -> dict[int, bool]:
    """The numbers that the pipeline took apart, and whether they were urgent."""
    found = {}
    for number, factors, urgent in RESULT.findall(output):
        assert int(number) not in found
        found[int(number)] = bool(urgent)
        assert math.prod(map(int, factors.split(" * "))) == int(number)
    return found


def test_the_pipeline(examples: Path) -> None:
    output = words(examples / "pipeline.py", "--numbers", "200", "--workers", "2")
    assert results(output) == {number: number % 10 == 0 for number in range(2, 202)}
    assert "Done: 200 results" in output


@dataclass
class Pipeline:
    """The queues of a pipeline that runs with three workers, and the processes that hold them."""

    jobs: dict[str, Any]
    results: dict[str, Any]

    @classmethod
    def find(cls, pid: int) -> Pipeline | None:
        """What it has, when it has started all of its processes: they take jobs or make them."""
        held = [
            each
            for each in list_objects()
            if each["kind"] == "mq" and pid in [holder["pid"] for holder in each["holders"]]
        ]
        if len(held) < 2:
            return None
        results, jobs = sorted(held, key=lambda each: -each["max_message_size"])
        # The main process and the three workers have the results, and the producer may.
        whole = len(jobs["holders"]) == 5 and len(results["holders"]) >= 4
        return cls(jobs, results) if whole else None

    def is_gone(self) -> bool:
        return not any(QUEUE.exists(each["name"]) for each in (self.jobs, self.results))


def test_the_pipeline_is_interrupted(examples: Path) -> None:
    """Ctrl-C: what is in it is finished, and all is well."""
    with running(examples / "pipeline.py", "--numbers", "10000000") as process:
        assert process.stdout is not None
        begun = "".join(process.stdout.readline() for _ in range(20))
        pipeline = eventually(lambda: Pipeline.find(process.pid), "the whole pipeline")
        os.killpg(process.pid, signal.SIGINT)
        # `communicate` knows nothing of lines that were read ahead.
        rest = process.stdout.read()
        _, errors = process.communicate(timeout=WATCHDOG)
    assert (process.returncode, errors) == (0, "")
    found = results(begun + rest)
    # The producer has sent them one after the other.
    assert sorted(found) == list(range(2, 2 + len(found)))
    assert f"Stopped: {len(found)} results" in rest
    assert pipeline.is_gone()


# The one or the other is the default, as the interpreter has it.
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_workers_of_the_pipeline_die(examples: Path, method: str) -> None:
    """It is told, and nothing is left behind either."""
    with running(examples / "pipeline.py", "--numbers", "10000000", method=method) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pipeline = eventually(lambda: Pipeline.find(process.pid), "the whole pipeline")
        # Who holds the results makes them, or has inherited all of them, as the producer may have.
        for holder in pipeline.results["holders"]:
            if holder["pid"] != process.pid:
                os.kill(holder["pid"], signal.SIGKILL)
        _, errors = process.communicate(timeout=WATCHDOG)
    assert process.returncode == 1
    assert "a worker has died" in errors
    assert pipeline.is_gone()


def test_uv_finds_the_package() -> None:
    """What `uv run examples/queue.py` reads: the dependency, and where it is."""
    text = (EXAMPLES / "queue.py").read_text(encoding="utf-8")
    head = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
    assert head
    script = tomllib.loads(re.sub(r"^# ?", "", head[1], flags=re.MULTILINE))
    [(distribution, source)] = script["tool"]["uv"]["sources"].items()
    project = tomllib.loads((EXAMPLES / source["path"] / "pyproject.toml").read_text())["project"]
    assert project["name"] == distribution
    assert script["dependencies"] == [f"{distribution}[ipc]"]
    assert script["requires-python"] == project["requires-python"]

"""Workers of multiprocessing, started in every way (contract 4.3)."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import WATCHDOG
from support.kinds import KINDS

# Newer Pythons warn of forking beside threads, which is done here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

METHODS = ["fork", "spawn", "forkserver"]


def create_and_leave(name: str, started: object) -> None:
    """What a worker does: objects in a global, and the end of the function."""
    globals()["kept"] = [kind.create(name) for kind in KINDS]
    started.set()  # type: ignore[attr-defined]


def link_and_leave(name: str, started: object) -> None:
    globals()["kept"] = [kind.open(name) for kind in KINDS]
    started.set()  # type: ignore[attr-defined]


def exit_and_leave(name: str, started: object) -> None:
    create_and_leave(name, started)
    sys.exit(3)


def raise_and_leave(name: str, started: object) -> None:
    create_and_leave(name, started)
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    raise KeyError


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [create_and_leave, exit_and_leave, raise_and_leave])
def test_workers_unlink_what_they_created(name: str, method: str, target: object) -> None:
    """Contract 4.3: workers of multiprocessing included, which do not end as other processes."""
    work(name, method, target)
    assert not any(kind.exists(name) for kind in KINDS)


@pytest.mark.parametrize("method", METHODS)
def test_workers_leave_what_they_linked(name: str, method: str) -> None:
    handles = [kind.create(name) for kind in KINDS]
    work(name, method, link_and_leave)
    assert all(kind.exists(name) for kind in KINDS)
    assert len(handles) == len(KINDS)


def work(name: str, method: str, target: object) -> None:
    context = multiprocessing.get_context(method)
    started = context.Event()
    worker = context.Process(target=target, args=(name, started))  # type: ignore[arg-type]
    worker.start()
    try:
        assert started.wait(WATCHDOG)
        worker.join(WATCHDOG)
        assert worker.exitcode is not None, "the worker hangs"
    finally:
        worker.kill()
        worker.join()


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_import_the_library_late(name: str, method: str, tmp_path: Path) -> None:
    """Contract 4.3: also where the parent has never seen it."""
    program = tmp_path / "program.py"
    program.write_text(f"""
import multiprocessing

def work():
    global kept
    from nob.ipc import Flags, NamedBoundedSemaphore, NamedChannel, NamedLock, NamedMessageQueue
    from nob.ipc import NamedSemaphore, NamedSharedMemory
    new = {{"handle_existence": Flags.RAISE_IF_EXISTS}}
    kept = [NamedSemaphore({name!r}, **new), NamedSharedMemory({name!r}, 1, **new),
            NamedMessageQueue({name!r}, 1, 1, **new), NamedLock({name!r}, **new),
            NamedBoundedSemaphore({name!r}, **new), NamedChannel({name!r}, **new)]

if __name__ == "__main__":
    worker = multiprocessing.get_context({method!r}).Process(target=work)
    worker.start()
    worker.join()
    raise SystemExit(worker.exitcode)
""")
    subprocess.run([sys.executable, program], check=True, timeout=60)
    assert not any(kind.exists(name) for kind in KINDS)

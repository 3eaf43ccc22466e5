"""What the end of a worker of multiprocessing does to its objects (contract 4.3)."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import eventually
from support.kinds import KINDS

PROGRAM = """
import multiprocessing, os, sys, time

def opened(name, flag):
    from nob.ipc import NamedBoundedSemaphore, NamedChannel, NamedLock, NamedMessageQueue
    from nob.ipc import NamedSemaphore, NamedSharedMemory
    return [
        NamedSemaphore(name, 0, flag),
        NamedSharedMemory(name, 64, handle_existence=flag),
        NamedMessageQueue(name, 2, 16, handle_existence=flag),
        NamedLock(name, flag),
        NamedBoundedSemaphore(name, 3, flag),
        NamedChannel(name, 2, 16, handle_existence=flag),
    ]

def make(name):
    from nob.ipc import Flags
    global kept
    kept = opened(name, Flags.RAISE_IF_EXISTS)

def make_shared(name):
    from nob.ipc import Flags
    global kept
    kept = opened(name, Flags.LINK_OR_CREATE)

def make_after_an_interruption(name):
    # A signal handler raises while the first handle is being made.
    import multiprocessing.util as util
    from nob.ipc import Flags, NamedSemaphore
    finalize, util.Finalize = util.Finalize, interrupt
    registry, util.register_after_fork = util.register_after_fork, interrupt
    try:
        NamedSemaphore(None, handle_existence=Flags.RAISE_IF_EXISTS)
    except KeyboardInterrupt:
        pass
    util.Finalize, util.register_after_fork = finalize, registry
    make(name)

def interrupt(*arguments, **options):
    raise KeyboardInterrupt

def take_over(name):
    for handle in inherited:
        handle.unlink_on_delete = True

def outlive(parent):
    while os.getppid() == parent:
        time.sleep(0.01)

def run(method, target, name):
    process = multiprocessing.get_context(method).Process(target=target, args=(name,))
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode

if __name__ == "__main__":
    method, what, name = sys.argv[1:]
    if what == "inherited":
        from nob.ipc import Flags
        inherited = opened(name, Flags.RAISE_IF_EXISTS)
        run(method, take_over, name)
        # Its own end does nothing.
        os._exit(0)
    if what == "inherited and shared":
        from nob.ipc import Flags
        inherited = opened(name, Flags.LINK_OR_CREATE)
        context = multiprocessing.get_context(method)
        parent = os.getpid()
        # It does nothing with what it has, but is the last that has it.
        context.Process(target=outlive, args=(parent,)).start()
        os._exit(0)
    run(method, globals()[what], name)
"""


def program(tmp_path: Path, *arguments: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def left(name: str) -> list[str]:
    return [kind.word for kind in KINDS if kind.exists(name)]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("what", ["make", "make_shared", "make_after_an_interruption"])
def test_what_it_makes_goes_with_it(name: str, tmp_path: Path, method: str, what: str) -> None:
    program(tmp_path, method, what, name)
    assert left(name) == []


def test_what_it_has_taken_over_goes_with_it(name: str, tmp_path: Path) -> None:
    program(tmp_path, "fork", "inherited", name)
    assert left(name) == []


def test_what_it_was_the_last_to_have_goes_with_it(name: str, tmp_path: Path) -> None:
    """Though it has done nothing with it."""
    program(tmp_path, "fork", "inherited and shared", name)
    eventually(lambda: not left(name), "the end of the worker")

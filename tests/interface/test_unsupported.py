"""The wheel for other systems (contract 1): it can be imported, and its constructors refuse."""

import subprocess
import sys

import pytest
from support.checks import WATCHDOG

import nob.ipc
import nob.ipc._unsupported
import nob.ipc.errors

WITHOUT_THE_NATIVE_MODULE = """
import importlib.abc
import sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "nob.ipc._native":
            raise {error}

sys.meta_path.insert(0, Missing())
from nob.ipc import *
"""


def without(code: str, error: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_NATIVE_MODULE.format(error=error) + code],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=False,
    )


def test_the_package_is_complete_and_refuses() -> None:
    code = """
assert isinstance(Flags.LINK_OR_CREATE, Flags) and issubclass(InvalidArgument, ValueError)
for call in (
    lambda: NamedSemaphore("/x", 1, handle_existence=Flags.LINK_OR_CREATE),
    lambda: NamedSharedMemory("/x", size=1),
    lambda: NamedMessageQueue("/x", mode=0o600),
    lambda: NamedLock("/x", unlink_on_delete=False),
    lambda: NamedBoundedSemaphore("/x", 3),
    lambda: NamedChannel("/x"),
    lambda: NamedSemaphore.unlink_name(name="/x", connection=None),
    lambda: NamedSharedMemory.unlink_name("/x"),
    lambda: NamedMessageQueue.unlink_name("/x"),
    lambda: NamedLock.unlink_name("/x"),
    lambda: NamedBoundedSemaphore.unlink_name("/x"),
    lambda: NamedChannel.unlink_name("/x"),
    connect,
    list_objects,
    lambda: reap(dry_run=False),
):
    try:
        call()
    except NotImplementedError as error:
        print(error)
"""
    done = without(code, 'ModuleNotFoundError("No module", name=name)')
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 15
    words = ["semaphore", "shared memory", "message queue", "lock", "bounded semaphore", "channel"]
    for line, what in zip(lines, [*words, *words, "objects", "objects", "objects"], strict=True):
        assert what in line
        assert "Linux" in line


def test_the_stand_in_for_posix_ipc_says_what_it_needs() -> None:
    """A program that can do without it, on other systems, catches ImportError."""
    code = """
try:
    import nob.posix_ipc
except ImportError as error:
    print(error.name, error)
"""
    done = without(code, 'ModuleNotFoundError("No module", name=name)')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nob.posix_ipc nob.posix_ipc needs 64-bit Linux")


@pytest.mark.parametrize(
    "error", ['ImportError("wrong libc")', 'ModuleNotFoundError("x", name="x")']
)
def test_a_native_module_that_cannot_be_loaded_is_an_error(error: str) -> None:
    """Nothing stands in for it then."""
    done = without("", error)
    assert done.returncode == 1
    assert error.partition("(")[0] in done.stderr


def test_it_has_what_the_native_module_has() -> None:
    for name in set(nob.ipc.__all__) - {"Flags", "Mapping", *vars(nob.ipc.errors)}:
        assert hasattr(nob.ipc._unsupported, name)

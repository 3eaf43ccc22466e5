"""A program that embeds the interpreter, ends it and initialises it again."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.kinds import KINDS

SOURCE = """
#include <Python.h>
#include <stdio.h>

int main(int count, char **words) {
    for (int round = 0; round < 3; round++) {
        wchar_t name[100];
        swprintf(name, 100, L"%s", words[2]);
        wchar_t *arguments[] = {L"program", name};
        Py_Initialize();
        PySys_SetArgvEx(2, arguments, 0);
        int status = PyRun_SimpleString(words[1]);
        printf("%d %d\\n", status, Py_FinalizeEx());
        fflush(stdout);
    }
    return 0;
}
"""

PROGRAM = """
import sys, threading
sys.path[:0] = PATHS
from nob.ipc import Flags, NamedLock, NamedMessageQueue, NamedSemaphore, NamedSharedMemory
create = Flags.RAISE_IF_EXISTS
semaphore = NamedSemaphore(sys.argv[1], 1, create)
assert semaphore.acquire() and not semaphore.acquire(timeout=0.01)
segment = NamedSharedMemory(sys.argv[1], 64, handle_existence=create)
segment.mmap().close()
queue = NamedMessageQueue(sys.argv[1], 2, 16, handle_existence=create)
assert queue.send("x", priority=3) and queue.receive() == (b"x", 3)
assert queue.receive(0.01) is None
threading.Thread(target=queue.receive, daemon=True).start()
lock = NamedLock(sys.argv[1], create)
assert lock.acquire() and not lock.acquire(timeout=0.01)
threading.Thread(target=lock.acquire, daemon=True).start()
"""


@pytest.fixture
def embedding(tmp_path: Path) -> Path:
    """The compiled program; skips where an interpreter cannot be embedded."""
    variable = sysconfig.get_config_var
    source, program = tmp_path / "embedding.c", tmp_path / "embedding"
    source.write_text(SOURCE)
    library = variable("LIBDIR")
    command = [os.environ.get("CC", "cc"), source, "-o", program, "-rdynamic"]
    command += [f"-I{sysconfig.get_path('include')}", f"-L{library}", f"-Wl,-rpath,{library}"]
    command += [f"-lpython{variable('LDVERSION')}", *variable("LIBS").split(), "-lm", "-ldl"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no C compiler")
    if done.returncode != 0:
        pytest.skip(f"this interpreter cannot be embedded: {done.stderr.splitlines()[-1:]}")
    return program


def test_the_second_cannot_import_it(name: str, embedding: Path) -> None:
    """The import says so; the names of the first one have gone."""
    code = PROGRAM.replace("PATHS", repr(sys.path))
    home = {**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    command = [embedding, code, name]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=home
    )
    assert (done.returncode, done.stdout) == (0, "0 0\n-1 0\n-1 0\n"), done.stderr
    refusal = "ImportError: nob.ipc was imported by an interpreter of this process that has ended"
    assert done.stderr.count(refusal) == 2
    assert not any(kind.exists(name) for kind in KINDS)

"""What the end of a process means for what it has on a server (contract 11.2)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.checks import WATCHDOG, conformance
from support.servers import CuttingProxy, Server

from nob import ipc
from nob.ipc import Flags

PROGRAM = """
import multiprocessing, os, signal, sys
from nob import ipc
from nob.ipc import Flags
def work(handle):
    return handle.send(str(os.getpid())), handle.linked_existing_object
if __name__ == "__main__":
    place = ipc.connect({url!r})
    create = Flags.RAISE_IF_EXISTS
    owned = place.NamedMessageQueue("/owned", handle_existence=create)
    kept = place.NamedMessageQueue("/kept", handle_existence=Flags.LINK_OR_CREATE)
    semaphore = place.NamedSemaphore("/owned", 1, create)
    lock = place.NamedLock("/kept", create, unlink_on_delete=False)
    permits = place.NamedBoundedSemaphore("/kept", 1, create, unlink_on_delete=False)
    assert lock.acquire() and permits.acquire()
    {ending}
"""


def program(server: Server, ending: str) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.format(url=server.url, ending=ending)
    return subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=2 * WATCHDOG,
        check=False,
    )


def names(place: ipc.Connection) -> set[tuple[str, str]]:
    return {(one["kind"], one["name"]) for one in place.list_objects()}


def test_the_end_of_a_program(server: Server, place: ipc.Connection) -> None:
    """Names that are due go, and what is held is let go at once: not after the lease."""
    for ending in ("pass", "sys.exit(0)", "alias = [owned]; alias.append(alias)"):
        done = program(server, ending)
        assert (done.returncode, done.stderr) == (0, "")
        assert names(place) == {("mq", "/kept"), ("lock", "/kept"), ("permits", "/kept")}
        lock = place.NamedLock("/kept")
        began = time.monotonic()
        assert lock.acquire(timeout=WATCHDOG)
        assert place.NamedBoundedSemaphore("/kept").acquire(timeout=WATCHDOG)
        assert time.monotonic() - began < 5, "that took a lease"
        assert lock.owner_died
        for word in ("NamedMessageQueue", "NamedLock", "NamedBoundedSemaphore"):
            getattr(place, word).unlink_name("/kept")


def test_an_end_without_goodbye(server: Server, place: ipc.Connection) -> None:
    """`os._exit` and a kill leave the names."""
    for ending in ("os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"):
        program(server, ending)
        assert {("mq", "/owned"), ("sem", "/owned")} <= names(place)
        server.command("FLUSHALL")


def test_an_interrupt_amid_a_receive(server: Server, place: ipc.Connection) -> None:
    """What an answer that nobody waited for brings goes back before the process ends."""
    proxy = CuttingProxy(server, 0, 0)
    create = Flags.RAISE_IF_EXISTS
    with closing(proxy), place.NamedMessageQueue("/interrupted", handle_existence=create) as queue:
        for end in ("raise", "place.close(); raise"):
            code = f"""
import sys
from nob import ipc
place = ipc.connect({proxy.url!r})
queue = place.NamedMessageQueue("/interrupted")
print("waits", flush=True)
try:
    print(queue.receive(), flush=True)
except KeyboardInterrupt:
    {end}
"""
            proxy.delay = 0
            with subprocess.Popen(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as child:
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(0.3)
                proxy.delay = 0.3
                queue.send("one")
                # It has heard of the message, and has asked for it.
                time.sleep(0.45)
                child.send_signal(signal.SIGINT)
                printed, _ = child.communicate(timeout=2 * WATCHDOG)
            assert queue.current_messages == (0 if printed else 1)
            queue.receive_many(timeout=0)


@pytest.mark.parametrize("call", ["NamedSemaphore('/owned')", "NamedLock('/kept')"])
def test_a_daemon_thread_waits(server: Server, call: str) -> None:
    """C40: its handle is closed, and the program ends as ever; the thread may tell of that."""
    done = program(
        server,
        f"""import threading, time
    semaphore.acquire()
    waiter = place.{call}
    threading.Thread(target=lambda: waiter.acquire(timeout=60), daemon=True).start()
    time.sleep(0.3)
    waiter.close()""",
    )
    server.command("FLUSHALL")
    assert done.returncode == 0
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    # Whether the call is still asking when it sees that is a matter of time.
    assert len(errors) <= 1
    assert all(error.startswith("ValueError: ") and "is closed" in error for error in errors)


@conformance("R9")
def test_the_end_while_the_server_is_away(own_server: Callable[..., Server]) -> None:
    """It is tried for a second, once; and a sentence says what stays."""
    server = own_server()
    began = time.monotonic()
    done = program(server, f"import os; os.kill({server.pid}, signal.SIGKILL)")
    assert done.returncode == 0
    assert "ServerUnavailable" in done.stderr
    # Far less than the patience for each of the five.
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing(
    server: Server, place: ipc.Connection, tmp_path: Path, method: str
) -> None:
    """A handle goes to the workers of a pool, however they are started."""
    ending = f"""lock.release(); permits.release()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        results = pool.map(work, [owned] * 6)
    assert results == [(True, True)] * 6, results
    assert owned.current_messages == 6
    assert not owned.stale"""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.format(url=server.url, ending=ending), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, file], capture_output=True, text=True, timeout=2 * WATCHDOG, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("mq", "/owned") not in names(place)

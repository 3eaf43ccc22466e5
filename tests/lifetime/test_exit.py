"""What the end of a process does to its objects (contract 4.3)."""

import signal
import subprocess
import sys
import time

import pytest
from support.checks import conformance, eventually, rounds
from support.kinds import CHANNEL, KINDS, LOCK, PERMITS, Kind, each_kind, removed
from support.scripts import PRELUDE, Script, run
from support.tally import counting
from support.waits import wait_until_asleep

CREATE = """
semaphore = NamedSemaphore(name, 0, CREATE)
segment = NamedSharedMemory(name, 64, handle_existence=CREATE)
queue = NamedMessageQueue(name, 2, 16, handle_existence=CREATE)
lock = NamedLock(name, CREATE)
permits = NamedBoundedSemaphore(name, 3, CREATE)
channel = NamedChannel(name, 2, 16, handle_existence=CREATE, priorities=8)
"""

TAKE = "assert lock.acquire() and permits.acquire()\n"
"""What the end of a process, of whatever sort, gives to others."""


def left(name: str) -> list[str]:
    """The kinds that still have the name."""
    return [kind.word for kind in KINDS if kind.exists(name)]


ALL = [kind.word for kind in KINDS]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("sys.exit()", 0),
        ("sys.exit(3)", 3),
        ("raise SystemExit('word')", 1),
        ("raise KeyError", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); signal.raise_signal(15)", 5),
        ("del semaphore, segment, queue, lock, permits, channel; sys.exit(7)", 7),
        ("for it in semaphore, segment, queue, lock, permits, channel: it.close()", 0),
    ],
)
@pytest.mark.parametrize("take", ["", TAKE], ids=["", "held"])
def test_normal_ends_unlink(name: str, take: str, ending: str, status: int) -> None:
    """Return, sys.exit, an exception, Ctrl-C; whether a lock is held or not."""
    assert run(CREATE + take + ending, name)[0] == status
    assert left(name) == []


@conformance("C32")
@pytest.mark.parametrize(
    "ending",
    [
        "os._exit(0)",
        "os.execv('/bin/true', ['true'])",
        "signal.raise_signal(signal.SIGTERM)",
        "signal.raise_signal(signal.SIGKILL)",
        "signal.raise_signal(signal.SIGHUP)",
        "os.abort()",
    ],
)
def test_other_ends_leave_everything(name: str, ending: str) -> None:
    """C32: nobody was asked; the objects can be linked and used."""
    run(CREATE + TAKE + ending, name)
    assert left(name) == ALL
    for kind in KINDS:
        kind.use(kind.open(name))


@conformance("C32")
@pytest.mark.parametrize("ending", ["", "sys.exit(1)", "raise KeyError"])
def test_what_nobody_is_due_to_unlink_stays(name: str, ending: str) -> None:
    """C32: `unlink_on_delete=False`, by argument and by attribute."""
    code = CREATE + "semaphore.unlink_on_delete = segment.unlink_on_delete = False\n"
    code += "for it in queue, lock, permits, channel: it.unlink_on_delete = False\n"
    run(code + ending, name)
    assert left(name) == ALL


@conformance("C33")
def test_a_process_that_only_linked_leaves_everything(name: str) -> None:
    """C33: no resource tracker interferes or complains."""
    handles = [kind.create(name) for kind in KINDS]
    code = """
import multiprocessing.resource_tracker
handles = [NamedSemaphore(name), NamedSharedMemory(name), NamedMessageQueue(name)]
handles += [NamedLock(name), NamedBoundedSemaphore(name), NamedChannel(name)]
assert handles[3].acquire()
memory = handles[1].mmap()
"""
    assert run(code, name) == (0, "")
    assert left(name) == ALL
    assert len(handles) == len(KINDS)


def test_due_though_only_linked(name: str) -> None:
    handles = [kind.create(name, unlink_on_delete=False) for kind in KINDS]
    code = """
kinds = [NamedSemaphore, NamedSharedMemory, NamedMessageQueue, NamedLock]
kinds += [NamedBoundedSemaphore, NamedChannel]
handles = [kind(name, unlink_on_delete=True) for kind in kinds]
"""
    assert run(code, name) == (0, "")
    assert left(name) == []
    assert len(handles) == len(KINDS)


# A handle that holds a lock waits for it as another does.
WAITS = [
    "semaphore.acquire()",
    "queue.receive()",
    "queue.receive(1000)",
    "channel.receive()",
    "channel.receive(1000)",
    "channel.send_many([bytes(16)] * 3)",
    "(lock.acquire(), lock.acquire())",
    "(lock.acquire(), lock.acquire(timeout=1000))",
    "[permits.acquire() for _ in range(4)]",
    "[permits.acquire(timeout=1000) for _ in range(4)]",
]

# Where a handle can be when the interpreter ends.
PLACES = {
    "a cycle": "class C: pass\nc = C(); c.c = c; c.handles = list(handles); del c",
    "sys": "sys.kept = list(handles)",
    "a builtin": "import builtins; builtins.kept = list(handles)",
    "a thread's local": "local = threading.local(); local.kept = list(handles)",
    "an exit handler": "import atexit; atexit.register(id, list(handles))",
    "a daemon thread": """
threading.Thread(target=lambda h: time.sleep(1000), args=(list(handles),), daemon=True).start()
""",
    "another thread": """
threading.Thread(target=lambda h: time.sleep(0.1), args=(list(handles),)).start()
""",
    "a module": """
import types
sys.modules["kept"] = module = types.ModuleType("kept")
module.kept = list(handles)
""",
    "a generator": """
def generate():
    with segment, queue, lock, permits:
        yield
g = generate(); next(g)
""",
    "a reference nobody returns": """
import ctypes
for handle in handles:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
""",
    "a mapping": "memory = segment.mmap(); view = memoryview(memory)",
    "a later __del__": """
class Late:
    def __init__(self, *kept): self.kept = kept
    def __del__(self):
        self.kept[0].release()
        for kept in self.kept[3:]:
            with kept: pass
sys.late = Late(*handles)
""",
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_the_handle_is(name: str, place: str) -> None:
    """The end of the interpreter unlinks, also what it does not take apart."""
    code = f"{CREATE}handles = semaphore, segment, queue, lock, permits, channel\n{PLACES[place]}\n"
    code += "handle = None\ndel semaphore, segment, queue, lock, permits, channel, handles\n"
    every = "segment=segment, queue=queue, lock=lock, permits=permits"
    code = code.replace("def generate():", f"def generate({every}):")
    status, errors = run(code, name)
    assert status == 0
    assert "Traceback" not in errors
    assert left(name) == []


@pytest.mark.parametrize("wait", WAITS)
def test_a_daemon_thread_that_waits(name: str, wait: str) -> None:
    """The exit neither waits for it nor crashes."""
    code = f"""
thread = threading.Thread(target=lambda: {wait}, daemon=True)
thread.start()
time.sleep(0.05)
"""
    assert run(CREATE + code, name) == (0, "")
    assert left(name) == []


@pytest.mark.parametrize(
    "ending", ["", "sys.exit(3)", "for it in semaphore, queue, lock, permits: it.close()"]
)
def test_threads_in_every_call(name: str, ending: str) -> None:
    """The interpreter ends at a random moment; it neither waits for them nor crashes."""
    code = f"""
import random
def again(call):
    def run():
        while True:
            try: call()
            except (ValueError, RuntimeError): pass
    threading.Thread(target=run, daemon=True).start()
again(lambda: semaphore.acquire())
again(lambda: semaphore.acquire(timeout=0.001))
again(lambda: queue.receive())
again(lambda: queue.receive(0.001))
again(lambda: channel.receive())
again(lambda: channel.receive(0.001))
again(lambda: channel.send(b"x", 0.001))
again(lambda: (semaphore.release(), queue.send(b"x", 0.001)))
again(lambda: (lock.acquire(), lock.release()))
again(lambda: (lock.acquire(timeout=0.001) and lock.release()))
again(lambda: (permits.acquire(), permits.acquire(), permits.release(), permits.release()))
for kind, *size in (
    (NamedSemaphore, 1), (NamedSharedMemory, 100_000), (NamedMessageQueue, 1), (NamedLock,),
    (NamedBoundedSemaphore, 1), (NamedChannel, 1),
):
    flag = Flags.LINK_OR_CREATE
    again(lambda kind=kind, size=size: kind(name + "-", *size, handle_existence=flag).close())
queue.request_notification((lambda _: time.sleep(60), None))
time.sleep(random.random() * 0.02)
{ending}
"""
    for _ in counting(rounds(5)):
        with removed(name + "-"):
            assert run(CREATE + code, name) == (3 if "exit" in ending else 0, "")
        assert left(name) == []


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_during_a_wait(name: str, wait: str) -> None:
    """Ctrl-C ends it, and what should be unlinked is."""
    with Script(CREATE + f"say(1)\n{wait}", name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.process.send_signal(signal.SIGINT)
        status, errors = script.end()
    assert status == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert left(name) == []


@each_kind
def test_killed_by_sigterm_during_a_wait(kind: Kind, name: str) -> None:
    """SIGTERM, as the system has it: the objects stay."""
    wait = {
        LOCK: "lock.acquire(); lock.acquire()",
        PERMITS: "for _ in range(4): permits.acquire()",
        CHANNEL: "channel.receive()",
    }.get(kind, "semaphore.acquire()")
    with Script(f"{CREATE}say(1)\n{wait}", name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.process.terminate()
        assert script.end()[0] == -signal.SIGTERM
    assert kind.exists(name)
    kind.use(kind.open(name))


def test_exit_in_the_middle_of_a_pipeline(name: str) -> None:
    """`python -c ... | true`: whatever standard output thinks of it."""
    code = PRELUDE + CREATE + "for _ in range(99999): print(1)"
    command = f"{sys.executable} -c '{code}' {name} | true"
    subprocess.run(command, shell=True, timeout=60, stderr=subprocess.DEVNULL, check=False)
    eventually(lambda: left(name) == [], "the end of the process")


def test_a_crash_of_another_process_is_not_waited_for(name: str) -> None:
    """A stopped process that has everything open holds nobody up."""
    with Script(CREATE + "permits.acquire(); say(1); hear()", name) as script:
        script.expect("1")
        script.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        for kind in KINDS:
            kind.use(kind.open(name))
            kind.open(name).unlink()
        assert time.monotonic() - start < 30
        script.process.send_signal(signal.SIGCONT)
        script.say("end")
        script.finish()

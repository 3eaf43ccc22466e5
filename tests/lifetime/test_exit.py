"""What the end of a process does to its objects (contract 4.3)."""

import signal
import subprocess
import sys
import time

import pytest
from support.checks import conformance, eventually, rounds
from support.kinds import KINDS, QUEUE, SEGMENT, SEMAPHORE, Kind, each_kind, removed
from support.scripts import PRELUDE, Script, run
from support.tally import counting
from support.waits import wait_until_asleep

CREATE = """
semaphore = NamedSemaphore(name, 0, CREATE)
segment = NamedSharedMemory(name, 64, handle_existence=CREATE)
queue = NamedMessageQueue(name, 2, 16, handle_existence=CREATE)
"""


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
        ("del semaphore, segment, queue; sys.exit(7)", 7),
        ("semaphore.close(); segment.close(); queue.close()", 0),
    ],
)
def test_normal_ends_unlink(name: str, ending: str, status: int) -> None:
    """Return, sys.exit, an exception, Ctrl-C."""
    assert run(CREATE + ending, name)[0] == status
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
    run(CREATE + ending, name)
    assert left(name) == ALL
    for kind in KINDS:
        kind.use(kind.open(name))


@conformance("C32")
@pytest.mark.parametrize("ending", ["", "sys.exit(1)", "raise KeyError"])
def test_what_nobody_is_due_to_unlink_stays(name: str, ending: str) -> None:
    """C32: `unlink_on_delete=False`, by argument and by attribute."""
    code = CREATE + "semaphore.unlink_on_delete = segment.unlink_on_delete = False\n"
    run(code + "queue.unlink_on_delete = False\n" + ending, name)
    assert left(name) == ALL


@conformance("C33")
def test_a_process_that_only_linked_leaves_everything(name: str) -> None:
    """C33: no resource tracker interferes or complains."""
    handles = [kind.create(name) for kind in KINDS]
    code = """
import multiprocessing.resource_tracker
handles = [NamedSemaphore(name), NamedSharedMemory(name), NamedMessageQueue(name)]
memory = handles[1].mmap()
"""
    assert run(code, name) == (0, "")
    assert left(name) == ALL
    assert len(handles) == 3


def test_due_though_only_linked(name: str) -> None:
    handles = [kind.create(name, unlink_on_delete=False) for kind in KINDS]
    code = """
kinds = NamedSemaphore, NamedSharedMemory, NamedMessageQueue
handles = [kind(name, unlink_on_delete=True) for kind in kinds]
"""
    assert run(code, name) == (0, "")
    assert left(name) == []
    assert len(handles) == 3


# Where a handle can be when the interpreter ends.
PLACES = {
    "a cycle": "class C: pass\nc = C(); c.c = c; c.handles = (semaphore, segment, queue); del c",
    "sys": "sys.kept = [semaphore, segment, queue]",
    "a builtin": "import builtins; builtins.kept = [semaphore, segment, queue]",
    "a thread's local": "local = threading.local(); local.kept = [semaphore, segment, queue]",
    "an exit handler": "import atexit; atexit.register(id, [semaphore, segment, queue])",
    "a daemon thread": """
handles = [semaphore, segment, queue]
threading.Thread(target=lambda h: time.sleep(1000), args=(handles,), daemon=True).start()
""",
    "another thread": """
handles = [semaphore, segment, queue]
threading.Thread(target=lambda h: time.sleep(0.1), args=(handles,)).start()
""",
    "a module": """
import types
sys.modules["kept"] = module = types.ModuleType("kept")
module.kept = semaphore, segment, queue
""",
    "a generator": """
def generate():
    with segment, queue:
        yield
g = generate(); next(g)
""",
    "a reference nobody returns": """
import ctypes
for handle in (semaphore, segment, queue):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
""",
    "a mapping": "memory = segment.mmap(); view = memoryview(memory)",
    "a later __del__": """
class Late:
    def __init__(self, *kept): self.kept = kept
    def __del__(self): self.kept[0].release()
sys.late = Late(semaphore, segment, queue)
""",
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_the_handle_is(name: str, place: str) -> None:
    """The end of the interpreter unlinks, also what it does not take apart."""
    code = CREATE + PLACES[place] + "\ndel semaphore, segment, queue\n"
    code = code.replace("def generate():", "def generate(segment=segment, queue=queue):")
    status, errors = run(code, name)
    assert status == 0
    assert "Traceback" not in errors
    assert left(name) == []


@pytest.mark.parametrize("wait", ["semaphore.acquire()", "queue.receive()", "queue.receive(1000)"])
def test_a_daemon_thread_that_waits(name: str, wait: str) -> None:
    """The exit neither waits for it nor crashes."""
    code = f"""
thread = threading.Thread(target=lambda: {wait}, daemon=True)
thread.start()
time.sleep(0.05)
"""
    assert run(CREATE + code, name) == (0, "")
    assert left(name) == []


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "semaphore.close(); queue.close()"])
def test_threads_in_every_call(name: str, ending: str) -> None:
    """The interpreter ends at a random moment; it neither waits for them nor crashes."""
    code = f"""
import random
def again(call):
    def run():
        while True:
            try: call()
            except ValueError: pass
    threading.Thread(target=run, daemon=True).start()
again(lambda: semaphore.acquire())
again(lambda: semaphore.acquire(timeout=0.001))
again(lambda: queue.receive())
again(lambda: queue.receive(0.001))
again(lambda: (semaphore.release(), queue.send(b"x", 0.001)))
for kind, size in (NamedSemaphore, 1), (NamedSharedMemory, 100_000), (NamedMessageQueue, 1):
    flag = Flags.LINK_OR_CREATE
    again(lambda kind=kind, size=size: kind(name + "-", size, handle_existence=flag).close())
queue.request_notification((lambda _: time.sleep(60), None))
time.sleep(random.random() * 0.02)
{ending}
"""
    for _ in counting(rounds(5)):
        with removed(name + "-"):
            assert run(CREATE + code, name) == (3 if "exit" in ending else 0, "")
        assert left(name) == []


@pytest.mark.parametrize("wait", ["semaphore.acquire()", "queue.receive()", "queue.receive(1000)"])
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
    with Script(CREATE + "say(1)\nsemaphore.acquire()", name) as script:
        script.expect("1")
        wait_until_asleep(script.pid)
        script.process.terminate()
        assert script.end()[0] == -signal.SIGTERM
    assert kind.exists(name)


def test_exit_in_the_middle_of_a_pipeline(name: str) -> None:
    """`python -c ... | true`: whatever standard output thinks of it."""
    code = PRELUDE + CREATE + "for _ in range(99999): print(1)"
    command = f"{sys.executable} -c '{code}' {name} | true"
    subprocess.run(command, shell=True, timeout=60, stderr=subprocess.DEVNULL, check=False)
    eventually(lambda: left(name) == [], "the end of the process")


def test_a_crash_of_another_process_is_not_waited_for(name: str) -> None:
    """A stopped process that has everything open holds nobody up."""
    with Script(CREATE + "say(1); hear()", name) as script:
        script.expect("1")
        script.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        for kind in (SEMAPHORE, SEGMENT, QUEUE):
            kind.use(kind.open(name))
            kind.open(name).unlink()
        assert time.monotonic() - start < 30
        script.process.send_signal(signal.SIGCONT)
        script.say("end")
        script.finish()

"""System calls that fail, and processes that die at one; with the help of strace (contract 3.4).

A process is told to create an object while strace, attached to it, lets the n-th call of a kind
fail or kills the process before it.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from support.checks import WATCHDOG, conformance
from support.kinds import CHANNEL, KINDS, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE, Kind, each_kind
from support.scripts import Script
from support.system import forget_unfinished, made_by
from support.tally import count

from nob.ipc import Flags

CALLS = [
    "openat",
    "open",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "fstat",
    "newfstatat",
    "statx",
    "mmap",
    "fsetxattr",
    "setxattr",
    "linkat",
    "link",
    "renameat2",
    "rename",
    "unlink",
    "unlinkat",
    "mq_open",
    "mq_unlink",
    "mq_getsetattr",
    "mkdir",
    "fcntl",
    "close",
    "munmap",
]
ERRORS = ["ENOMEM", "ENOSPC", "EMFILE", "EACCES"]

CREATOR = """
import errno, gc
def say(word):
    os.writev(1, [f"{{word}}\\n".encode()])  # a call that creating has no use for
def create():
    return {}
create().unlink()  # what is done once is done
gc.disable()
def descriptors():
    return sorted(each for each in os.listdir("/proc/self/fd"))
before = descriptors()
while True:
    say("ready"); hear()
    handle = None
    try:
        handle = create()
        outcome = "created"
    except MemoryError:
        outcome = "ENOMEM"
    except OSError as error:
        outcome = errno.errorcode[error.errno]
        assert error.filename == name and error.strerror
    except BaseException as error:
        outcome = repr(error)
    say(outcome); hear()
    if handle is not None:
        handle.unlink()
        handle.close()
    handle = None
    say(descriptors() == before); hear()
"""


def _may_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    command = [
        "strace",
        "-qq",
        "-e",
        "trace=none",
        "-e",
        "inject=close:error=EIO:when=9999",
        "true",
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _may_trace(), reason="strace cannot be used here")


@contextlib.contextmanager
def traced(pid: int, *options: str) -> Iterator[None]:
    """Attaches strace to the process, and detaches it."""
    command = ["strace", "-p", str(pid), "-o", "/dev/null", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        try:
            # It says so when the process can make no call any more that is not seen.
            ready, _, _ = select.select([tracer.stderr], [], [], WATCHDOG)
            assert ready, "strace does not attach"
            assert b"attached" in tracer.stderr.readline()
            yield
        finally:
            # Without the tracer the process goes on, also when the test has failed.
            tracer.send_signal(signal.SIGINT)


def calls_of(script: Script, tmp: os.PathLike[str]) -> dict[str, int]:
    """How often a creation makes which of the calls."""
    log = os.path.join(tmp, "calls")
    names = ",".join(f"?{call}" for call in CALLS)
    script.expect("ready")
    with traced(script.pid, "-e", f"trace={names}", "-o", log):
        script.say("create")
        script.expect("created")
    script.say("remove")
    script.expect("True")
    script.say("again")
    with open(log, encoding="utf-8") as file:
        made = re.findall(r"^(\w+)\(", file.read(), re.MULTILINE)
    return {call: made.count(call) for call in CALLS if call in made}


@conformance("C18", "S32")
@each_kind
@pytest.mark.parametrize("flag", [Flags.RAISE_IF_EXISTS, Flags.LINK_OR_CREATE])
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "always"])
def test_each_call_fails(  # type: ignore[no-untyped-def]
    kind: Kind, name: str, flag: Flags, persistent: bool, tmp_path
) -> None:
    """C18: the right exception or success; no descriptor, no name is left; the next call works."""
    code = CREATOR.format(kind.source(flag))
    with Script(code, name) as script:
        calls = calls_of(script, tmp_path)
        assert ("mq_open" if kind is QUEUE else "linkat") in calls
        for call, number in calls.items():
            if call in ("close", "munmap"):
                continue
            for index in range(1, number + 1 if not persistent else 2):
                for error in ERRORS if index == 1 else ERRORS[:1]:
                    when = f"{index}{'+' if persistent else ''}"
                    count("faults")
                    script.expect("ready")
                    with traced(script.pid, "-e", f"inject={call}:error={error}:when={when}"):
                        script.say("create")
                        outcome = script.hear()
                    assert outcome in ("created", error), f"{call} {when} {error}: {outcome}"
                    assert kind.exists(name) == (outcome == "created"), f"{call} {when} {error}"
                    script.say("remove")
                    assert script.hear() == "True", f"{call} {when} {error} leaks a descriptor"
                    script.say("again")
        script.expect("ready")
        script.say("create")
        script.expect("created")


@conformance("S27", "H25", "C18")
@each_kind
@pytest.mark.parametrize("flag", [Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE])
def test_death_at_each_call(kind: Kind, name: str, flag: Flags, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """S27, H25: what has the name is missing or whole, and the next one creates or links."""
    code = CREATOR.format(kind.source(flag))
    with Script(code, name) as script:
        calls = calls_of(script, tmp_path)
    killed = 0
    for call, number in calls.items():
        for index in range(1, number + 1):
            with Script(code, name) as script:
                script.expect("ready")
                with traced(script.pid, "-e", f"inject={call}:signal=SIGKILL:when={index}"):
                    script.say("create")
                    killed += script.process.wait(WATCHDOG) == -signal.SIGKILL
            count("kills")
            forget_unfinished(script.pid)
            left = {each for each in os.listdir("/dev/shm") if name[1:] in each}
            mine = {os.path.basename(each.path(name)) for each in KINDS if each is not QUEUE}
            assert left | made_by(script.pid) <= mine, f"{call} {index}"
            handle = kind.create(name, Flags.LINK_OR_CREATE)
            check(kind, handle)
            handle.unlink()
            handle.close()
            del handle
            kind.create(name).unlink()
    assert killed == sum(calls.values())


def check(kind: Kind, handle) -> None:  # type: ignore[no-untyped-def]
    """That the object is as a new one is to be."""
    if kind is SEMAPHORE:
        assert handle.value == 3
    elif kind is SEGMENT:
        assert handle.size == 64
        with handle.mmap() as memory:
            assert bytes(memory) == bytes(64)
    elif kind is LOCK:
        assert (handle.locked(), handle.owner_died) == (False, False)
    elif kind is PERMITS:
        assert (handle.value, handle.bound) == (3, 3)
    else:
        assert (handle.max_messages, handle.max_message_size) == (2, 16)
        assert handle.current_messages == 0
    kind.use(handle)


@conformance("C18")
def test_reserving_memory_goes_on_after_signals(name: str) -> None:
    """Contract 3.5: EINTR from fallocate is no error."""
    code = CREATOR.format(SEGMENT.source(Flags.RAISE_IF_EXISTS))
    with Script(code, name) as script:
        script.expect("ready")
        with traced(script.pid, "-e", "inject=fallocate:error=EINTR:when=1..5"):
            script.say("create")
            script.expect("created")
        check(SEGMENT, SEGMENT.open(name))
        script.say("remove")
        script.expect("True")


@conformance("C24")
@each_kind
@pytest.mark.parametrize("flag", Flags)
def test_no_file_is_opened_in_order_to_create_it(  # type: ignore[no-untyped-def]
    kind: Kind, name: str, flag: Flags, tmp_path
) -> None:
    """C24: with O_CREAT the kernel refuses another user's file, under `fs.protected_regular`."""
    code = f"""
say("ready"); hear()
create = lambda flag: {kind.source("flag")}
create(CREATE).unlink_on_delete = False
try: create(Flags[{flag.name!r}])
except FileExistsError: pass
say("done"); hear()
"""
    log = tmp_path / "opened"
    with Script(code, name) as script:
        script.expect("ready")
        with traced(script.pid, "-e", "trace=?open,?openat,mq_open", "-o", str(log)):
            script.say("go")
            script.expect("done")
    opened = [line for line in log.read_text().splitlines() if name[1:] in line]
    assert opened or flag is Flags.RAISE_IF_EXISTS
    if kind is QUEUE:
        # The file system of queues is no sticky directory to this setting: they are created so.
        opened = [line for line in opened if "O_EXCL" not in line]
    assert not [line for line in opened if "O_CREAT" in line]


WAITS: dict[str, tuple[str, Kind, dict[str, int], str, str]] = {
    "semaphore": ("futex", SEMAPHORE, {"initial_value": 0}, "handle.acquire(timeout=0.1)", "False"),
    "queue, ppoll": ("ppoll", QUEUE, {}, "handle.receive(0.1)", "None"),
    "queue, poll": ("poll", QUEUE, {}, "handle.receive(0.1)", "None"),
    "channel": ("futex", CHANNEL, {}, "handle.receive(0.1)", "None"),
    "full channel": (
        "futex",
        CHANNEL,
        {"max_messages": 1},
        "handle.send(b'x') and handle.send(b'y', 0.1)",
        "False",
    ),
    "receive": ("mq_timedreceive", QUEUE, {}, "handle.receive()", "(b'x', 0)"),
    "send": ("mq_timedsend", QUEUE, {}, "handle.send(b'y', 0.1)", "True"),
    "lock": ("futex", LOCK, {}, "handle.acquire() and handle.acquire(timeout=0.1)", "False"),
    "permits": (
        "futex",
        PERMITS,
        {"value": 1},
        "handle.acquire() and handle.acquire(timeout=0.1)",
        "False",
    ),
}


@conformance("S18", "M32")
@pytest.mark.parametrize("what", WAITS)
def test_interrupted_calls_are_made_again(what: str, name: str) -> None:
    """S18, M32: EINTR three times over is no error, and no time is lost or won."""
    call, kind, options, wait, answer = WAITS[what]
    code = f"""
handle = {kind.source("CREATE", **options)}
say("ready"); hear()
start = time.monotonic()
answer = {wait}
say(answer, time.monotonic() - start)
"""
    with Script(code, name) as script:
        script.expect("ready")
        if "'x'" in answer:
            kind.open(name).send(b"x")
        with traced(script.pid, "-e", f"inject={call}:error=EINTR:when=1..3"):
            script.say("go")
            said, took = script.hear().rsplit(" ", 1)
        assert said == answer
        if said in ("False", "None"):
            assert float(took) >= 0.1
        script.finish()

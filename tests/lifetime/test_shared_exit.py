"""What the end of a process does to shared objects (contract 4.3, 4.4)."""

import pytest
from support.kinds import KINDS
from support.scripts import Script, run

CREATE = """
SHARED = Flags.LINK_OR_CREATE
semaphore = NamedSemaphore(name, 0, SHARED)
segment = NamedSharedMemory(name, 64, handle_existence=SHARED)
queue = NamedMessageQueue(name, 2, 16, handle_existence=SHARED)
lock = NamedLock(name, SHARED)
permits = NamedBoundedSemaphore(name, 3, SHARED)
channel = NamedChannel(name, 2, 16, handle_existence=SHARED)
handles = [semaphore, segment, queue, lock, permits, channel]
"""

# Where handles can be when the interpreter ends; the last two it does not deallocate.
PLACES = {
    "globals": "",
    "a cycle": "handles.append(handles)",
    "sys": "sys.kept = handles",
    "an exit handler": "import atexit; atexit.register(id, handles)",
    "a closed handle": "for handle in handles: handle.close()",
    "a mapping": "memory = segment.mmap(); view = memoryview(memory)",
    "a frame of a daemon thread": """
threading.Thread(target=lambda _: time.sleep(1000), args=(handles,), daemon=True).start()
""",
    "a reference that nobody returns": """
for handle in handles:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
""",
}


DEL = "\ndel semaphore, segment, queue, lock, permits, channel"


def left(name: str) -> list[str]:
    return [kind.word for kind in KINDS if kind.exists(name)]


@pytest.mark.parametrize("place", PLACES)
def test_the_last_user_removes_the_name(name: str, place: str) -> None:
    """Wherever the interpreter finds the handle, or does not find it."""
    assert run(CREATE + PLACES[place] + DEL, name) == (0, "")
    assert left(name) == []


@pytest.mark.parametrize("place", PLACES)
def test_another_user_keeps_it(name: str, place: str) -> None:
    with Script(CREATE + "say(1); hear()", name) as other:
        other.expect("1")
        assert run(CREATE + PLACES[place] + DEL, name) == (0, "")
        assert left(name) == [kind.word for kind in KINDS]
        other.say("end")
        other.finish()
    assert left(name) == []

"""Pickled handles: what they are in another process (contract 2)."""

import copy
import errno
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Self

import pytest
from support.checks import conformance
from support.children import as_nobody
from support.kinds import KINDS, OWNED, SEGMENT, SEMAPHORE, Kind, each_kind
from support.scripts import STAMP, Script

from nob.ipc import Flags, NamedChannel, NamedLock, NamedSemaphore

# Newer Pythons warn of forking beside threads, which is done here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@conformance("C37")
@each_kind
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickled_handle_links_by_name(kind: Kind, name: str, protocol: int) -> None:
    """C37: to the same object, with unlink_on_delete=False."""
    handle = kind.create(name)
    kind.stamp(handle)
    again = pickle.loads(pickle.dumps(handle, protocol))
    assert type(again) is kind.cls
    assert again.name == name
    assert again.linked_existing_object is True
    assert again.unlink_on_delete is False
    assert handle.unlink_on_delete is True
    assert kind.is_stamped(again)
    kind.use(again)
    del again
    assert kind.exists(name)


@conformance("C37")
@each_kind
def test_another_process_unpickles(kind: Kind, name: str) -> None:
    """C37: and its end unlinks nothing."""
    handle = kind.create(name)
    code = """
import pickle
handle = pickle.loads(bytes.fromhex(hear()))
"""
    with Script(f"{code}{STAMP}\nsay(1); hear()") as other:
        other.say(pickle.dumps(handle).hex())
        other.expect("1")
        assert kind.is_stamped(handle)
        other.say("end")
        other.finish()
    # What the process had of a lock or bounded semaphore has gone with it.
    assert kind.is_stamped(handle) is (kind not in OWNED)
    assert kind.exists(name)


@each_kind
def test_a_pickled_handle_keeps_a_shared_object(kind: Kind, name: str) -> None:
    """Contract 4.4: it is one more of those that use it, and may be the last."""
    handle = kind.create(name, Flags.LINK_OR_CREATE)
    again = pickle.loads(pickle.dumps(handle))
    del handle
    kind.use(again)
    assert kind.exists(name)
    del again
    assert not kind.exists(name)


@conformance("C37")
@each_kind
def test_unpickling_after_unlink(kind: Kind, name: str) -> None:
    """C37: FileNotFoundError, at the first use; and at each other one."""
    handle = kind.create(name)
    text = pickle.dumps(handle)
    handle.unlink()
    again = pickle.loads(text)
    assert again.closed
    for use in (kind.use, lambda again: again.name, lambda again: again.unlink(), pickle.dumps):
        with pytest.raises(FileNotFoundError, match="nothing has this name") as raised:
            use(again)
        assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, name)
        assert "unlink_on_delete=False" in raised.value.__notes__[0]
    assert not kind.exists(name)
    # It was never opened, so it can be.
    other = kind.create(name)
    kind.cls.__init__(again, name)
    kind.use(again)
    del other


@each_kind
def test_pickling_a_closed_handle(kind: Kind, name: str) -> None:
    """A ValueError, with every protocol."""
    handle = kind.create(name)
    handle.close()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ValueError, match="closed"):
            pickle.dumps(handle, protocol)


def test_directions_are_kept(message_kind: Kind, name: str) -> None:
    """Also for who may not do the other."""
    queue, segment = message_kind.create(name), SEGMENT.create(name)
    reader = pickle.loads(pickle.dumps(message_kind.open(name, write=False)))
    writer = pickle.loads(pickle.dumps(message_kind.open(name, read=False)))
    writer.send(b"x")
    assert reader.receive() == (b"x", 0)
    with pytest.raises(OSError, match=r"."):
        reader.send(b"x")
    with pytest.raises(OSError, match=r"."):
        writer.receive(0)
    assert pickle.loads(pickle.dumps(SEGMENT.open(name, read_only=True))).read_only is True
    assert pickle.loads(pickle.dumps(segment)).read_only is False
    assert queue.current_messages == 0


def test_unpickling_without_permission(name: str) -> None:
    semaphore = SEMAPHORE.create(name)
    text = pickle.dumps(semaphore)
    with pytest.raises(PermissionError):
        as_nobody(lambda: pickle.loads(text).value)


@each_kind
def test_unpickling_does_not_change_the_object(kind: Kind, name: str) -> None:
    """A segment is as large as it is then; a semaphore has the value it has then."""
    handle = kind.create(name)
    text = pickle.dumps(handle)
    kind.stamp(handle)
    before = kind.status(handle)
    again = pickle.loads(text)
    after = kind.status(again)
    assert (after.st_ino, after.st_size, after.st_mode) == (
        before.st_ino,
        before.st_size,
        before.st_mode,
    )
    assert kind.is_stamped(handle)


def test_unpickling_after_the_segment_has_shrunk_or_grown(name: str) -> None:
    segment = SEGMENT.create(name)
    text = pickle.dumps(segment)
    for size in (10, 100):
        segment.resize(size)
        assert pickle.loads(text).size == segment.size == size


@each_kind
def test_copies_are_handles_of_their_own(kind: Kind, name: str) -> None:
    """copy and deepcopy go the way of pickle."""
    handle = kind.create(name)
    for make in (copy.copy, copy.deepcopy):
        twin = make(handle)
        assert twin is not handle
        twin.close()
        kind.use(handle)
    assert kind.exists(name)


class Doubled(NamedSemaphore):
    """A subclass without arguments of its own."""

    def twice(self) -> int:
        return int(self.value) * 2


def test_a_subclass_stays_one(name: str) -> None:
    handle = Doubled(name, 21, handle_existence=Flags.RAISE_IF_EXISTS)
    again = pickle.loads(pickle.dumps(handle))
    assert type(again) is Doubled
    assert again.twice() == 42


class Keyed(NamedSemaphore):
    """A subclass with arguments of its own."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__("/" + key, 21, Flags.RAISE_IF_EXISTS)


def test_a_subclass_with_other_arguments(name: str) -> None:
    """Its __init__ has run once; the copy links, and has its attributes."""
    handle = Keyed(name[1:])
    again = pickle.loads(pickle.dumps(handle))
    assert type(again) is Keyed
    assert (again.name, again.key, again.value) == (name, name[1:], 21)
    assert again.linked_existing_object is True
    assert again.unlink_on_delete is False


class Slotted(NamedSemaphore):
    """A subclass with state in a slot and in its dictionary."""

    __slots__ = ("__dict__", "label")


class Chosen(NamedSemaphore):
    """A subclass that says what its state is."""

    def __getstate__(self) -> object:
        return {"label": self.label.upper()}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.label = state["label"]


class New(NamedSemaphore):
    """A subclass whose __new__ has arguments."""

    def __new__(cls, label: str, *, name: str) -> Self:
        handle = super().__new__(cls)
        handle.label = label
        return handle

    def __init__(self, _label: str, *, name: str) -> None:
        super().__init__(name, 2, Flags.RAISE_IF_EXISTS)

    def __getnewargs_ex__(self) -> object:
        return (self.label,), {"name": self.name}


class NewByPosition(NamedSemaphore):
    """A subclass whose __new__ has arguments by position."""

    def __new__(cls, label: str, _name: str) -> Self:
        handle = super().__new__(cls)
        handle.label = label
        return handle

    def __init__(self, _label: str, name: str) -> None:
        super().__init__(name, 2, Flags.RAISE_IF_EXISTS)

    def __getnewargs__(self) -> object:
        return self.label, self.name


def again_by_pickle(handle: object) -> object:
    return pickle.loads(pickle.dumps(handle))


@pytest.mark.parametrize("again", [again_by_pickle, copy.copy, copy.deepcopy])
def test_the_state_of_subclasses_goes_along(name: str, again: Callable[[Any], Any]) -> None:
    """As object.__reduce_ex__ has it: slots, __getstate__, the arguments of __new__."""
    slotted = Slotted(name, 2, Flags.RAISE_IF_EXISTS)
    slotted.label, slotted.other = "slot", [1]
    twin = again(slotted)
    assert (type(twin), twin.label, twin.other, twin.value) == (Slotted, "slot", [1], 2)
    slotted.__del__()
    chosen = Chosen(name, 2, Flags.RAISE_IF_EXISTS)
    chosen.label, chosen.secret = "state", 1
    assert vars(again(chosen)) == {"label": "STATE"}
    chosen.__del__()
    for make in (lambda: New("new", name=name), lambda: NewByPosition("new", name)):
        new = make()
        twin = again(new)
        assert (type(twin), twin.label, twin.name, twin.value) == (type(new), "new", name, 2)
        new.__del__()


def use_all(
    semaphore: NamedSemaphore,
    segment: object,
    queue: object,
    lock: NamedLock,
    permits: object,
    channel: NamedChannel,
) -> str:
    """What a worker does with handles that it was given."""
    semaphore.release()
    # The parent has the lock and one of the permits.
    assert (lock.held, lock.locked(), permits.value) == (False, True, 2)  # type: ignore[attr-defined]
    assert not lock.acquire(False)
    with permits:  # type: ignore[attr-defined]
        assert len(permits.holders) == 2  # type: ignore[attr-defined]
    queue.send(b"worker")  # type: ignore[attr-defined]
    channel.send(b"worker")
    with segment.mmap() as memory:  # type: ignore[attr-defined]
        memory[:6] = b"worker"
    return semaphore.name


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_handles_as_arguments_of_workers(name: str, method: str) -> None:
    """Of a process, with each way to start it; the objects outlive it."""
    handles = [kind.create(name) for kind in KINDS]
    context = multiprocessing.get_context(method)
    semaphore, segment, queue, lock, permits, channel = handles
    assert lock.acquire()
    assert permits.acquire()
    worker = context.Process(target=use_all, args=handles)
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert semaphore.value == 4
    assert queue.receive(0) == (b"worker", 0)
    assert channel.receive(0) == (b"worker", 0)
    with segment.mmap() as memory:
        assert memory[:6] == b"worker"
    assert lock.held
    assert permits.value == 2
    assert all(kind.exists(name) for kind in KINDS)


def test_handles_as_arguments_of_a_pool(name: str) -> None:
    handles = [kind.create(name) for kind in KINDS]
    semaphore, _, queue, lock, permits, channel = handles
    assert lock.acquire()
    assert permits.acquire()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for _ in range(2):
            assert pool.submit(use_all, *handles).result(60) == name
    assert semaphore.value == 5
    assert (queue.current_messages, channel.current_messages) == (2, 2)
    assert lock.held
    assert permits.value == 2
    assert all(kind.exists(name) for kind in KINDS)

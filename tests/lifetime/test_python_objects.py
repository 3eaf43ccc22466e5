"""Handles as Python objects: subclasses, __init__, weak references, cycles (contract 2)."""

import gc
import logging
import pickle
import warnings
import weakref
from collections.abc import Callable

import pytest
from support.checks import eventually
from support.kinds import KINDS, QUEUE, USES, Kind, each_kind, removed

from nob.ipc import Flags


@each_kind
def test_weak_references(kind: Kind, name: str) -> None:
    handle = kind.create(name)
    seen = []
    weak = weakref.ref(handle, lambda _: seen.append(kind.exists(name)))
    assert weak() is handle
    del handle
    assert weak() is None
    assert len(seen) == 1
    assert not kind.exists(name)


@each_kind
def test_cycles_are_collected(kind: Kind, name: str) -> None:
    """Contract 4.3: the last reference can go by the garbage collector."""

    class Knot(kind.cls):  # type: ignore[name-defined, misc]
        pass

    knot = Knot(name, handle_existence=Flags.RAISE_IF_EXISTS, **kind.small)
    knot.me = [knot]
    del knot
    gc.collect()
    assert not kind.exists(name)


def test_a_callback_that_knows_its_queue_does_not_keep_it_after_cancelling(name: str) -> None:
    queue = QUEUE.create(name)
    weak = weakref.ref(queue)
    queue.request_notification((print, queue))
    queue.request_notification(None)
    del queue
    # The thread of the notification ends a moment later.
    eventually(lambda: weak() is None, "the end of the queue")
    assert not QUEUE.exists(name)


@each_kind
def test_subclasses_have_their_own_arguments(kind: Kind, name: str) -> None:
    """Contract 2: the object is opened in __init__, not in __new__."""

    class Mine(kind.cls):  # type: ignore[name-defined, misc]
        def __init__(self, one: str, two: str, *, three: int = 3) -> None:
            self.three = three
            super().__init__(one + two, handle_existence=Flags.LINK_OR_CREATE, **kind.small)

    mine = Mine(name[:4], name[4:], three=33)
    assert (mine.name, mine.three) == (name, 33)
    assert isinstance(mine, kind.cls)
    assert type(mine).__name__ in repr(mine)
    kind.use(mine)
    with pytest.raises(TypeError):
        Mine(name)
    del mine
    assert not kind.exists(name)


@each_kind
def test_a_second_init(kind: Kind, name: str) -> None:
    """Contract 2: a ValueError; the handle is as it was."""
    other = name + "-other"
    handle = kind.create(name)
    with removed(other):
        for again in (name, other):
            with pytest.raises(ValueError, match=r"\w+ \w+"):
                handle.__init__(again, handle_existence=Flags.LINK_OR_CREATE, **kind.small)
        assert not kind.exists(other)
    assert handle.name == name
    kind.use(handle)
    handle.close()
    with pytest.raises(ValueError, match=f"was opened on .*{name}"):
        handle.__init__(name, handle_existence=Flags.LINK_OR_CREATE, **kind.small)
    del handle
    assert not kind.exists(name)


@each_kind
def test_without_init(kind: Kind) -> None:
    """An object that a subclass forgot to open is as one that is closed; nothing crashes."""

    class Forgetful(kind.cls):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            pass

    for handle in (Forgetful(), kind.cls.__new__(kind.cls)):
        assert type(handle).__name__ in repr(handle)
        for use in [*USES[kind.word], lambda h: h.unlink(), lambda h: h.name]:
            with pytest.raises(ValueError, match=r"\w+ \w+"):
                use(handle)
        handle.close()
        handle.__del__()


@each_kind
def test_a_failed_init_leaves_nothing(kind: Kind, name: str) -> None:
    """The name of a constructor that failed is free, and its handle can be opened again."""
    handle = kind.cls.__new__(kind.cls)
    with pytest.raises(FileNotFoundError):
        handle.__init__(name)
    handle.__init__(name, handle_existence=Flags.RAISE_IF_EXISTS, **kind.small)
    kind.use(handle)
    del handle
    assert not kind.exists(name)


def refused(kind: Kind, name: str) -> object:
    """A handle that was pickled, and whose object is gone."""
    handle = kind.create(name)
    pickled = pickle.dumps(handle)
    handle.unlink()
    del handle
    return pickle.loads(pickled)


def held(kind: Kind, name: str) -> object:
    """A handle that holds what its kind lets it hold: deleting it is warned of."""
    handle = kind.create(name)
    kind.use(handle)
    if kind.word in ("lock", "permits"):
        handle.acquire()
    return handle


def closed(kind: Kind, name: str) -> object:
    handle = kind.create(name)
    handle.close()
    return handle


def unlinked(kind: Kind, name: str) -> object:
    handle = kind.create(name)
    handle.unlink()
    return handle


@pytest.mark.parametrize(
    "make",
    [
        held,
        refused,
        closed,
        unlinked,
        lambda kind, _: kind.cls.__new__(kind.cls),
        lambda kind, name: memoryview(kind.create(name).mmap()) if kind.word == "segment" else None,
    ],
    ids=["in use", "refused", "closed", "unlinked", "never opened", "mapped"],
)
@each_kind
def test_an_exception_on_its_way_outlives_a_handle(
    kind: Kind,
    name: str,
    make: Callable[[Kind, str], object],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unwinding the frame deallocates the handle, which warns, writes to the log and unlinks."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    for action in ("ignore", "error"):
        with caplog.at_level(logging.DEBUG, "nob.ipc"), warnings.catch_warnings():
            warnings.simplefilter(action, ResourceWarning)  # type: ignore[arg-type]
            with pytest.raises(ZeroDivisionError) as raised:
                [make(kind, name), 1 / 0]
            assert raised.value.__context__ is None
    assert not kind.exists(name)


def test_handles_are_told_apart(name: str) -> None:
    """Equality is identity, as of files; handles can be keys."""
    for kind in KINDS:
        one, two = kind.create(name), kind.open(name)
        assert one != two
        assert len({one, two, one}) == 2
        assert bool(one)

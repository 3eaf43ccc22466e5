"""Closing, unlinking, deleting: of handles in a living process (contract 2, 4.1 to 4.5)."""

import errno
import os
import sys

import pytest
from support.checks import conformance, helpful
from support.children import become, in_child
from support.kinds import KINDS, SEGMENT, USES, Kind, each_kind
from support.system import descriptors

from nob.ipc import (
    Flags,
    NamedBoundedSemaphore,
    NamedChannel,
    NamedLock,
    NamedMessageQueue,
    NamedSemaphore,
    NamedSharedMemory,
)


@conformance("C28")
@each_kind
def test_close(kind: Kind, name: str) -> None:
    """C28: twice is fine; what needs the object is a ValueError, also when the number is reused."""
    before = set(descriptors())
    handle = kind.create(name)
    mine = set(descriptors()) - before
    assert handle.closed is False
    assert handle.close() is None
    assert handle.close() is None
    assert handle.closed is True
    assert set(descriptors()) == before
    reused = [os.open("/dev/null", os.O_RDONLY) for _ in range(len(mine) + 1)]
    for use in USES[kind.word]:
        with pytest.raises(ValueError, match="closed"):
            use(handle)
    handle.close()
    for descriptor in reused:
        assert os.readlink(f"/proc/self/fd/{descriptor}") == "/dev/null"
        os.close(descriptor)


@conformance("C28", "C38")
@each_kind
def test_what_a_closed_handle_still_knows(kind: Kind, name: str) -> None:
    """Contract 4.1: and it unlinks when it is asked to."""
    handle = kind.create(name)
    handle.close()
    assert handle.name == name
    assert handle.linked_existing_object is False
    assert handle.unlink_on_delete is True
    handle.unlink_on_delete = False
    assert handle.unlink_on_delete is False
    assert "closed" in repr(handle)
    assert name in repr(handle)
    assert kind.exists(name)
    handle.unlink()
    assert not kind.exists(name)


@conformance("C38")
@each_kind
def test_what_is_read_only(kind: Kind, name: str) -> None:
    """C38: the attributes, and the text of repr."""
    handle = kind.create(name)
    for attribute in ("name", "linked_existing_object", "closed", "nonsense"):
        with pytest.raises(AttributeError):
            setattr(handle, attribute, "x")
    assert name in repr(handle)
    assert type(handle).__name__ in repr(handle)
    assert "closed" not in repr(handle)


def test_more_that_is_read_only(name: str) -> None:
    semaphore, segment, queue, lock, permits, channel = (kind.create(name) for kind in KINDS)
    lock.acquire()
    for handle, attributes in (
        (semaphore, ["value", "linked_existing_semaphore"]),
        (segment, ["size", "fd", "read_only"]),
        (queue, ["mqd", "mdq", "current_messages", "max_messages", "max_message_size"]),
        (lock, ["held", "owner", "owner_died", "fence"]),
        (permits, ["value", "bound", "holders"]),
        (channel, ["current_messages", "max_messages", "capacity", "priorities"]),
    ):
        for attribute in attributes:
            with pytest.raises(AttributeError):
                setattr(handle, attribute, 1)
            with pytest.raises(AttributeError):
                delattr(handle, attribute)


@conformance("C29", "C30")
@each_kind
def test_unlink(kind: Kind, name: str) -> None:
    """C29, C30: the name is gone at once, handles work on, and a second time there is nothing."""
    handle = kind.create(name)
    other = kind.open(name)
    assert handle.unlink() is None
    assert not kind.exists(name)
    with pytest.raises(FileNotFoundError):
        kind.open(name)
    kind.stamp(handle)
    assert kind.is_stamped(other)
    kind.use(other)
    for each in (handle, other):
        with pytest.raises(FileNotFoundError) as caught:
            each.unlink()
        helpful(caught.value, name, errno.ENOENT)
    new = kind.create(name)
    assert not kind.is_stamped(new)
    del handle, other
    assert kind.exists(name)


@each_kind
def test_unlink_leaves_anothers_object(kind: Kind, name: str) -> None:
    """Contract 4.2, 4.5: FileNotFoundError that says which of the two it is."""
    handle = kind.create(name)
    kind.remove(name)
    with pytest.raises(FileNotFoundError) as caught:
        handle.unlink()
    missing = helpful(caught.value, name, errno.ENOENT)
    other = kind.create(name)
    kind.stamp(other)
    with pytest.raises(FileNotFoundError) as caught:
        handle.unlink()
    assert helpful(caught.value, name, errno.ENOENT) != missing
    assert kind.is_stamped(kind.open(name))


@each_kind
@pytest.mark.parametrize("close", [False, True])
def test_deletion_unlinks_what_the_handle_created(kind: Kind, name: str, close: bool) -> None:
    """Contract 4.3: None means that; closed before or not."""
    linked = kind.create(name, unlink_on_delete=False)
    other = kind.open(name)
    if close:
        other.close()
    del other
    assert kind.exists(name)
    kind.remove(name)
    created = kind.create(name, Flags.LINK_OR_CREATE)
    assert created.unlink_on_delete is True
    if close:
        created.close()
    assert kind.exists(name)
    del created
    assert not kind.exists(name)
    del linked


@conformance("C32")
@each_kind
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("due", [True, False])
@pytest.mark.parametrize("later", [True, False])
def test_unlink_on_delete(kind: Kind, name: str, create: bool, due: bool, later: bool) -> None:
    """C32: said at once or later, by who created and by who linked."""
    keeper = kind.create(name, unlink_on_delete=False)
    if create:
        kind.remove(name)
    flag = Flags.LINK_OR_CREATE
    handle = kind.create(name, flag, unlink_on_delete=(not due) if later else due)
    assert handle.linked_existing_object is not create
    if later:
        handle.unlink_on_delete = due
    assert handle.unlink_on_delete is due
    del handle
    assert kind.exists(name) is not due
    del keeper
    assert kind.exists(name) is not due


@each_kind
def test_deletion_leaves_anothers_object(kind: Kind, name: str) -> None:
    """Contract 4.5: silently, and likewise what is gone."""
    one, two = kind.create(name), kind.open(name, unlink_on_delete=True)
    kind.remove(name)
    del two
    other = kind.create(name, unlink_on_delete=False)
    del one
    assert kind.exists(name)
    kind.use(other)


@each_kind
def test_del_by_hand(kind: Kind, name: str) -> None:
    """Contract 2: it closes, and unlinks where due; more often is fine."""
    handle = kind.create(name)
    handle.__del__()
    assert handle.closed
    assert not kind.exists(name)
    new = kind.create(name)
    handle.__del__()
    del handle
    assert kind.exists(name)
    other = kind.open(name)
    other.__del__()
    assert other.closed
    assert kind.exists(name)
    assert not new.closed


@conformance("H16")
@each_kind
def test_deletion_that_fails_is_heard(kind: Kind, name: str) -> None:
    """Contract 4.3: what deletion may not unlink goes to sys.unraisablehook."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")

    def drop() -> list[tuple[type[BaseException], object]]:
        heard = []
        sys.unraisablehook = lambda what: heard.append((what.exc_type, what.exc_value.filename))
        os.umask(0)
        handle = kind.create(name, mode=0o666)
        become(65534)
        del handle
        return heard

    assert in_child(drop) == [(PermissionError, name)]
    assert kind.exists(name)


def test_with_closes_segments_queues_and_channels_only(name: str) -> None:
    """Contract 2."""
    flag = Flags.RAISE_IF_EXISTS
    with NamedSharedMemory(name, 1, handle_existence=flag) as segment:
        assert not segment.closed
    with NamedMessageQueue(name, 1, 1, handle_existence=flag) as queue:
        assert not queue.closed
    with NamedChannel(name, 1, 1, handle_existence=flag) as channel:
        assert not channel.closed
    with NamedSemaphore(name, handle_existence=flag) as semaphore:
        pass
    with NamedLock(name, handle_existence=flag) as lock:
        pass
    with NamedBoundedSemaphore(name, handle_existence=flag) as permits:
        pass
    assert (segment.closed, queue.closed, channel.closed) == (True, True, True)
    assert (semaphore.closed, lock.closed, permits.closed) == (False, False, False)
    assert SEGMENT.exists(name)
    with pytest.raises(ValueError, match="closed"), segment:
        pytest.fail("it is closed")

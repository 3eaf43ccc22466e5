"""Every flag against what is missing, what exists, and what is not permitted (contract 3)."""

import errno
import os

import pytest
from support.checks import conformance, helpful
from support.children import as_nobody, become, in_child
from support.kinds import (
    CHANNEL,
    KINDS,
    LOCK,
    OWNED,
    PERMITS,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_file_kind,
    each_kind,
    each_owned_kind,
)
from support.namespaces import mount, needs_namespaces
from support.system import NOBODY, made_by

from nob.ipc import Flags

CREATING = (Flags.RAISE_IF_EXISTS, Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE)
each_creating = pytest.mark.parametrize("flag", CREATING, ids=lambda flag: flag.name)


@conformance("C13")
@each_kind
def test_linking_to_what_is_missing(kind: Kind, name: str) -> None:
    """C13: FileNotFoundError, and nothing is created; it is also the default."""
    for arguments in ({}, {"handle_existence": Flags.RAISE_IF_NOT_EXISTS}, kind.small):
        with pytest.raises(FileNotFoundError) as caught:
            kind.cls(name, **arguments)
        helpful(caught.value, name, errno.ENOENT)
        assert not kind.exists(name)


@each_kind
@each_creating
def test_creating_what_is_missing(kind: Kind, flag: Flags, name: str) -> None:
    made = kind.create(name, flag)
    assert made.linked_existing_object is False
    assert made.unlink_on_delete is True
    assert kind.exists(name)
    assert not kind.is_stamped(made)
    kind.use(made)


@conformance("C14")
@each_kind
def test_creating_what_exists(kind: Kind, name: str) -> None:
    """C14: FileExistsError, and what was found is as it was."""
    old = kind.create(name)
    kind.stamp(old)
    before = kind.status(old)
    with pytest.raises(FileExistsError) as caught:
        kind.create(name, Flags.RAISE_IF_EXISTS)
    helpful(caught.value, name, errno.EEXIST)
    after = kind.status(kind.open(name))
    assert (after.st_ino, after.st_mode, after.st_size) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
    )
    assert kind.is_stamped(old)


@conformance("C15", "M12")
@each_kind
@pytest.mark.parametrize("flag", [Flags.RAISE_IF_NOT_EXISTS, Flags.LINK_OR_CREATE])
def test_linking_to_what_exists(kind: Kind, flag: Flags, name: str) -> None:
    """C15, M12: it is the same object, and nothing of it changes."""
    old = kind.create(name)
    kind.stamp(old)
    linked = kind.open(name, flag)
    assert linked.linked_existing_object is True
    assert linked.unlink_on_delete is False
    assert kind.is_stamped(linked)
    assert kind.is_stamped(old)
    kind.use(linked)
    del linked
    assert kind.exists(name)


def test_semaphores_have_an_alias(name: str) -> None:
    made = SEMAPHORE.create(name)
    assert made.linked_existing_semaphore is False
    assert SEMAPHORE.open(name).linked_existing_semaphore is True


@conformance("C15")
def test_linking_ignores_what_describes_a_new_object(name: str) -> None:
    """C15: value, mode and even attributes beyond every limit are ignored then."""
    semaphore = SEMAPHORE.create(name, initial_value=3, mode=0o600)
    segment = SEGMENT.create(name, mode=0o600)
    queue = QUEUE.create(name, mode=0o600)
    lock = LOCK.create(name, mode=0o600)
    permits = PERMITS.create(name, value=3, mode=0o600)
    channel = CHANNEL.create(name, mode=0o600)
    flag = Flags.LINK_OR_CREATE
    assert SEMAPHORE.open(name, flag, initial_value=42, mode=0o666).value == 3
    assert SEGMENT.open(name, flag, size=7, mode=0o666).size == 64
    linked = QUEUE.open(name, flag, max_messages=2**40, max_message_size=2**62, mode=0o666)
    assert (linked.max_messages, linked.max_message_size) == (2, 16)
    assert LOCK.open(name, flag, mode=0o666).linked_existing_object
    assert PERMITS.open(name, flag, value=42, mode=0o666).bound == 3
    other = CHANNEL.open(name, flag, max_messages=9, capacity=1 << 30, priorities=2, mode=0o666)
    assert (other.max_messages, other.capacity, other.priorities) == (2, 4096, 8)
    handles = (semaphore, segment, queue, lock, permits, channel)
    for kind, handle in zip(KINDS, handles, strict=True):
        assert kind.mode(handle) == 0o600


@conformance("C30")
@each_kind
def test_replacing_what_exists(kind: Kind, name: str) -> None:
    """C30: the new object is fresh; handles to the old one keep the old one."""
    old = kind.create(name)
    kind.stamp(old)
    new = kind.create(name, Flags.UNLINK_AND_CREATE)
    assert new.linked_existing_object is False
    assert not kind.is_stamped(new)
    assert kind.is_stamped(old)
    kind.use(old)
    kind.use(new)
    del old
    assert kind.exists(name), "the old handle must not unlink the new object"
    assert not kind.is_stamped(kind.open(name))


@conformance("C22", "C23")
@each_kind
@pytest.mark.parametrize(
    ("flag", "error"),
    [
        (Flags.RAISE_IF_EXISTS, FileExistsError),
        (Flags.RAISE_IF_NOT_EXISTS, PermissionError),
        (Flags.LINK_OR_CREATE, PermissionError),
        (Flags.UNLINK_AND_CREATE, PermissionError),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_another_user_without_permission(
    kind: Kind, flag: Flags, error: type[OSError], name: str
) -> None:
    """C22, C23: every flag against an object that the caller may neither open nor unlink."""
    old = kind.create(name, mode=0o600)
    kind.stamp(old)
    with pytest.raises(error) as caught:
        as_nobody(kind.create, name, flag)
    helpful(caught.value, name, errno.EEXIST if error is FileExistsError else errno.EACCES)
    assert kind.exists(name)
    assert kind.is_stamped(old)
    assert kind.is_stamped(kind.open(name))


@conformance("C22")
def test_what_other_users_need(name: str) -> None:
    """C22: a segment and a queue can be had for reading alone; the others need both bits."""
    old = os.umask(0)
    try:
        handles = [kind.create(name, mode=0o644) for kind in KINDS]
    finally:
        os.umask(old)
    for kind in KINDS:
        with pytest.raises(PermissionError) as caught:
            as_nobody(lambda kind=kind: kind.open(name).closed)
        helpful(caught.value, name, errno.EACCES)
    assert as_nobody(lambda: SEGMENT.open(name, read_only=True).size) == 64
    assert as_nobody(lambda: QUEUE.open(name, write=False).max_messages) == 2
    assert len(handles) == len(KINDS)


@conformance("C23")
@each_kind
def test_another_user_may_not_unlink(kind: Kind, name: str) -> None:
    """C23: PermissionError from both ways of unlinking, and the object still works."""
    old = os.umask(0)
    try:
        handle = kind.create(name, mode=0o666)
    finally:
        os.umask(old)
    for attempt in (lambda: kind.cls.unlink_name(name), lambda: kind.open(name).unlink()):
        with pytest.raises(PermissionError) as caught:
            as_nobody(attempt)
        helpful(caught.value, name, errno.EACCES)
    assert kind.exists(name)
    kind.use(handle)
    kind.use(kind.open(name))


@conformance("C19")
@each_kind
@pytest.mark.parametrize(
    ("mode", "umask", "bits"),
    [
        (0o666, 0o022, 0o644),
        (0o666, 0o027, 0o640),
        (0o600, 0, 0o600),
        (0o777, 0o077, 0o700),
        (0, 0, 0),
        (0o666, 0o777, 0),
    ],
)
def test_the_umask_applies(kind: Kind, name: str, mode: int, umask: int, bits: int) -> None:
    """C19: permission bits are mode without umask, and the umask stays as it is."""
    old = os.umask(umask)
    try:
        if kind in OWNED and bits & 0o600 != 0o600 and os.geteuid() != 0:
            # Each of their handles opens the file afresh, that of the creator, too.
            with pytest.raises(PermissionError):
                kind.create(name, mode=mode)
            return
        handle = kind.create(name, mode=mode)
    finally:
        assert os.umask(old) == umask
    assert kind.mode(handle) == bits
    kind.use(handle)


@each_kind
def test_the_default_mode_is_private(kind: Kind, name: str) -> None:
    old = os.umask(0)
    try:
        assert kind.mode(kind.create(name)) == 0o600
    finally:
        os.umask(old)


@conformance("C20", "C21")
@each_kind
def test_the_creator_owns_what_it_makes(kind: Kind, name: str) -> None:
    """C20, C21: effective ids, and a handle that works whatever the mode says.

    A handle of a lock, bounded semaphore or channel opens the file afresh, so its creator needs
    both bits.
    """
    mode = 0o600 if kind in (*OWNED, CHANNEL) else 0

    def create() -> tuple[int, int, int]:
        handle = kind.create(name, mode=mode)
        kind.use(handle)
        status = kind.status(handle)
        bits = kind.mode(handle)
        # Deletion leaves a queue alone that it may not open to see whether it is still its own.
        handle.unlink()
        return status.st_uid, status.st_gid, bits

    assert as_nobody(create) == (NOBODY, NOBODY, mode)
    assert not kind.exists(name)


@conformance("C21")
@each_owned_kind
@pytest.mark.parametrize(("mode", "umask"), [(0, 0), (0o400, 0), (0o200, 0), (0o600, 0o200)])
@each_creating
def test_a_creator_that_may_not_open_what_it_makes(
    kind: Kind, name: str, flag: Flags, mode: int, umask: int
) -> None:
    """Its handle opens the file afresh, so it is a PermissionError, and nothing has changed."""
    kept = kind.create(name, mode=0o600) if flag is Flags.UNLINK_AND_CREATE else None
    if kept is not None and os.geteuid() == 0:
        os.chown(kind.path(name), NOBODY, NOBODY)

    def create() -> list[str]:
        os.umask(umask)
        with pytest.raises(PermissionError) as caught:
            kind.create(name, flag, mode=mode)
        helpful(caught.value, name, errno.EACCES)
        return sorted(made_by(os.getpid()))

    assert as_nobody(create) == []
    assert kind.exists(name) is (kept is not None)
    if kept is not None:
        assert not kept.stale
        kind.use(kept)


@needs_namespaces
@each_file_kind
@each_creating
def test_a_directory_that_takes_no_files(kind: Kind, flag: Flags, name: str) -> None:
    """Not permitted to create: PermissionError."""

    def create() -> None:
        mount("/dev/shm", "size=64k,mode=755")
        become(NOBODY)
        kind.create(name, flag)

    with pytest.raises(PermissionError) as caught:
        in_child(create)
    helpful(caught.value, name, errno.EACCES)


@each_kind
def test_unlink_name_needs_no_opening(kind: Kind, name: str) -> None:
    """It removes also what the caller could not open, and says what is missing."""
    handle = kind.create(name)
    if kind is QUEUE:
        os.fchmod(handle.fileno(), 0)
    else:
        os.chmod(kind.path(name), 0)
    kind.cls.unlink_name(name)
    assert not kind.exists(name)
    kind.use(handle)
    with pytest.raises(FileNotFoundError) as caught:
        kind.cls.unlink_name(name)
    helpful(caught.value, name, errno.ENOENT)

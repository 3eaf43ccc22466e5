"""What others may have planted under a name, and who owns it (contract 3.7)."""

import errno
import os
import re
import socket
import stat
from collections.abc import Callable

import pytest
from support.checks import conformance, helpful
from support.children import in_child
from support.kinds import (
    KINDS,
    OWNED,
    QUEUE,
    SEGMENT,
    SEMAPHORE,
    Kind,
    each_file_kind,
    each_kind,
    each_owned_kind,
)
from support.system import NOBODY, descriptors
from support.waits import Background

from nob.ipc import Flags

LINKING = (Flags.RAISE_IF_NOT_EXISTS, Flags.LINK_OR_CREATE)
TARGET = b"the target's own words, longer than a semaphore"


def symlink(path: str) -> None:
    os.symlink(path + "-target", path)


def dangling(path: str) -> None:
    os.symlink(path + "-nowhere", path)


def listen(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def device(path: str) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices cannot be made here")


PLANTS: dict[str, Callable[[str], None]] = {
    "symlink": symlink,
    "dangling": dangling,
    "fifo": os.mkfifo,
    "directory": os.mkdir,
    "socket": listen,
    "device": device,
}
each_plant = pytest.mark.parametrize("plant", PLANTS)


@pytest.fixture
def target(name: str):  # type: ignore[no-untyped-def]
    """A file that planted symlinks lead to, for all kinds."""
    paths = [kind.path(name) + "-target" for kind in KINDS if kind is not QUEUE]
    for path in paths:
        with open(path, "xb") as file:
            file.write(TARGET)
    yield
    for path in paths:
        with open(path, "rb") as file:
            assert file.read() == TARGET, "the target was touched"
        assert os.stat(path).st_nlink == 1
        os.unlink(path)


def at_once(function: Callable[[], object]) -> object:
    """Calls the function in a thread: opening what was planted may never block."""
    return Background(function).result()


@pytest.mark.usefixtures("target")
@conformance("C25", "C26")
@each_file_kind
@each_plant
@pytest.mark.parametrize("flag", LINKING, ids=lambda flag: flag.name)
def test_linking_is_refused(kind: Kind, name: str, plant: str, flag: Flags) -> None:
    """C25, C26: an OSError that says what is there; nothing is followed, created or kept open."""
    PLANTS[plant](kind.path(name))
    before, there = descriptors(), os.lstat(kind.path(name))
    with pytest.raises(OSError, match=r".") as caught:
        at_once(lambda: kind.create(name, flag))
    sentence = helpful(caught.value, name, caught.value.errno)
    said = {"dangling": "symlink|symbolic link", "symlink": "symlink|symbolic link"}
    assert re.search(said.get(plant, f"(?i){plant}|not? (a )?regular"), sentence), sentence
    assert descriptors() == before
    assert os.lstat(kind.path(name)).st_ino == there.st_ino
    assert not os.path.exists(kind.path(name) + "-nowhere")


@pytest.mark.usefixtures("target")
@conformance("C25", "C26")
@each_plant
def test_linking_read_only_is_refused(name: str, plant: str) -> None:
    """C26: where a plain open would block, or give a descriptor of a directory."""
    PLANTS[plant](SEGMENT.path(name))
    before = descriptors()
    with pytest.raises(OSError, match=r".") as caught:
        at_once(lambda: SEGMENT.open(name, read_only=True))
    helpful(caught.value, name, caught.value.errno)
    assert descriptors() == before


@pytest.mark.usefixtures("target")
@conformance("C25", "C26")
@each_file_kind
@each_plant
def test_creating_says_that_the_name_is_taken(kind: Kind, name: str, plant: str) -> None:
    """C25: FileExistsError, also of a symlink that leads nowhere."""
    PLANTS[plant](kind.path(name))
    with pytest.raises(FileExistsError) as caught:
        at_once(lambda: kind.create(name))
    helpful(caught.value, name, errno.EEXIST)
    assert not os.path.exists(kind.path(name) + "-nowhere")


@pytest.mark.usefixtures("target")
@conformance("C25", "C26")
@each_file_kind
@each_plant
def test_replacing_takes_the_name(kind: Kind, name: str, plant: str) -> None:
    """C25, C26: of whatever can be unlinked; a directory is refused and stays."""
    PLANTS[plant](kind.path(name))
    if plant == "directory":
        with pytest.raises(OSError, match=r".") as caught:
            kind.create(name, Flags.UNLINK_AND_CREATE)
        helpful(caught.value, name, caught.value.errno)
        assert os.path.isdir(kind.path(name))
        return
    handle = at_once(lambda: kind.create(name, Flags.UNLINK_AND_CREATE))
    assert stat.S_ISREG(os.lstat(kind.path(name)).st_mode)
    kind.use(handle)


@each_file_kind
@each_plant
def test_unlink_name_removes_what_cannot_be_opened(kind: Kind, name: str, plant: str) -> None:
    """Contract 2; but for directories, which are no objects."""
    PLANTS[plant](kind.path(name))
    if plant == "directory":
        with pytest.raises(OSError, match=r"."):
            kind.cls.unlink_name(name)
        return
    kind.cls.unlink_name(name)
    assert not kind.exists(name)


@conformance("S31")
@pytest.mark.parametrize("size", [0, 1, 8, 16, 31])
def test_a_semaphore_file_that_is_too_short(name: str, size: int) -> None:
    """S31: refused when it is opened, instead of a bus error later."""
    with open(SEMAPHORE.path(name), "xb") as file:
        file.write(b"\1" * size)
    for flag in LINKING:
        with pytest.raises(OSError, match=r"short|size|bytes|semaphore") as caught:
            SEMAPHORE.open(name, flag)
        helpful(caught.value, name, caught.value.errno)
    with pytest.raises(FileExistsError):
        SEMAPHORE.create(name)
    handle = SEMAPHORE.create(name, Flags.UNLINK_AND_CREATE)
    assert handle.value == 3


@conformance("S31")
@pytest.mark.parametrize("byte", [0, 1, 0x7F, 0x80, 0xFF])
def test_a_semaphore_file_of_garbage(name: str, byte: int) -> None:
    """S31: whatever is in it, using it is no crash, and no wait without end."""
    with open(SEMAPHORE.path(name), "xb") as file:
        file.write(bytes([byte]) * 4096)

    def use() -> bool:
        try:
            handle = SEMAPHORE.open(name)
            handle.acquire(timeout=0.01)
            handle.acquire(False)
            return isinstance(handle.value, int)
        except OSError:
            return True

    assert in_child(use)


@each_owned_kind
@pytest.mark.parametrize("size", [0, 1, 4096, 12287, 12289, 1 << 20])
def test_a_lock_file_of_another_size(kind: Kind, name: str, size: int) -> None:
    """Contract 3.7: refused when it is opened, instead of a bus error later."""
    with open(kind.path(name), "xb") as file:
        file.write(b"\1" * size)
    for flag in LINKING:
        with pytest.raises(OSError, match=str(size)) as caught:
            kind.create(name, flag)
        helpful(caught.value, name, errno.EINVAL)
    with pytest.raises(FileExistsError):
        kind.create(name)
    kind.use(kind.create(name, Flags.UNLINK_AND_CREATE))


@each_owned_kind
@pytest.mark.parametrize("byte", [0, 1, 0x7F, 0x80, 0xFF])
def test_a_lock_file_of_garbage(kind: Kind, name: str, byte: int) -> None:
    """Contract 3.7: whatever is in it, it is refused, and the file stays as it is."""
    content = bytes([byte]) * 12288
    with open(kind.path(name), "xb") as file:
        file.write(content)
    for flag in LINKING:
        with pytest.raises(OSError, match="begin") as caught:
            kind.create(name, flag)
        helpful(caught.value, name, errno.EINVAL)
    with open(kind.path(name), "rb") as file:
        assert file.read() == content


@pytest.mark.usefixtures("name")
@each_file_kind
def test_a_hard_link_is_the_same_object(kind: Kind, name: str) -> None:
    """Two names of one file: unlinking one leaves the other."""
    handle = kind.create(name)
    other = name + "-other"
    os.link(kind.path(name), kind.path(other))
    try:
        kind.stamp(handle)
        assert kind.is_stamped(kind.open(other))
        del handle
        assert not kind.exists(name)
        assert kind.exists(other)
    finally:
        kind.remove(other)


@conformance("C24")
@each_kind
def test_an_object_of_another_user(kind: Kind, name: str) -> None:
    """C24: root links to it with every flag that links, whatever fs.protected_regular says."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")

    def create() -> None:
        os.umask(0)
        handle = kind.create(name, mode=0o666, unlink_on_delete=False)
        kind.stamp(handle)

    in_child(create, uid=NOBODY)
    for flag in LINKING:
        linked = kind.create(name, flag)
        assert linked.linked_existing_object is True
        assert kind.status(linked).st_uid == NOBODY
        # What the child's handle had of a lock or bounded semaphore has gone with it.
        assert kind.is_stamped(linked) is (kind not in OWNED)
        kind.use(linked)
    if kind in OWNED:
        kind.stamp(linked)

    def link() -> bool:
        return bool(kind.is_stamped(kind.create(name, Flags.LINK_OR_CREATE)))

    assert in_child(link, uid=NOBODY - 1)
    new = kind.create(name, Flags.UNLINK_AND_CREATE)
    assert not kind.is_stamped(new)


@pytest.mark.parametrize("size", [0, 63])
def test_files_named_like_temporary_ones_are_left_alone(name: str, size: int) -> None:
    """A file that looks like what glibc's sem_open makes on its way is nobody's business."""
    path = "/dev/shm/sem." + name[-6:]
    with open(path, "xb") as file:
        file.write(b"x" * size)
    try:
        for kind in KINDS:
            for flag in (Flags.LINK_OR_CREATE, Flags.UNLINK_AND_CREATE):
                kind.use(kind.create(name, flag))
        assert os.path.getsize(path) == size
    finally:
        os.unlink(path)


def test_a_segment_that_somebody_truncates_while_we_link(name: str) -> None:
    """Growing repairs the size; what is there is never below what was asked for on return."""
    segment = SEGMENT.create(name, size=4096)
    for _ in range(50):
        os.truncate(SEGMENT.path(name), 10)
        linked = SEGMENT.open(name, Flags.LINK_OR_CREATE, size=4096)
        assert linked.size == 4096
        with linked.mmap() as memory:
            assert bytes(memory[10:]) == bytes(4086)
    assert segment.size == 4096
    assert not QUEUE.exists(name)

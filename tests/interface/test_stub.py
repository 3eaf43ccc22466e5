"""The stub says what the native module says: an editor and help() agree."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import stub_docstrings
from support import type_checkers
from support.kinds import CHANNEL, KINDS, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE

import nob.ipc
from nob.ipc import types

TREE = ast.parse(stub_docstrings.STUB.read_text(encoding="utf-8"))
DOCUMENTED = {name: words for name, _, words in stub_docstrings.documented(TREE.body)}
# What is listed of each kind: its word there, and its type.
LISTED = {
    SEMAPHORE: ("sem", types.ListedSemaphore),
    SEGMENT: ("shm", types.ListedSegment),
    QUEUE: ("mq", types.ListedQueue),
    LOCK: ("lock", types.ListedLock),
    PERMITS: ("permits", types.ListedBoundedSemaphore),
    CHANNEL: ("channel", types.ListedChannel),
}


def test_the_docstrings_are_those_of_the_native_module() -> None:
    """`python tests/stub_docstrings.py` writes them."""
    text = stub_docstrings.STUB.read_text(encoding="utf-8")
    assert stub_docstrings.with_native_docstrings(text) == text


def test_every_docstring_is_one() -> None:
    """Nothing that the stub documents is without words in the native module."""
    assert all(words and words[0].isupper() for words in DOCUMENTED.values())
    assert len(DOCUMENTED) > 80


def test_all_that_is_public_is_in_the_stub() -> None:
    for kind in KINDS:
        for base in kind.cls.__mro__[:-1]:
            public = {f"{base.__name__}.{name}" for name in vars(base) if not name.startswith("_")}
            assert public <= DOCUMENTED.keys()


TYPES = """
from typing import Any, assert_type
import numpy as np
from numpy.typing import NDArray
from nob.ipc import (
    Flags, NamedBoundedSemaphore, NamedChannel, NamedLock, NamedMessageQueue, NamedSemaphore,
    NamedSharedMemory, list_objects, reap
)
from nob.ipc.types import Listed, Reaped

def use(queue: NamedMessageQueue, seconds: float | None) -> None:
    message, priority = queue.receive()
    assert_type(message, bytes)
    assert_type(priority, int)
    assert_type(queue.receive(None), tuple[bytes, int])
    assert_type(queue.receive(1), tuple[bytes, int] | None)
    assert_type(queue.receive(timeout=seconds), tuple[bytes, int] | None)
    for listed in list_objects():
        print(listed["name"], [holder["pid"] for holder in listed["holders"]])
        if listed["kind"] == "sem":
            assert_type(listed["value"], int | None)
        elif listed["kind"] == "shm":
            assert_type(listed["size"], int)
        elif listed["kind"] == "lock":
            assert_type(listed["owner"], int | None)
            assert_type(listed["owner_died"], bool | None)
        elif listed["kind"] == "permits":
            assert_type(listed["owners"], list[int] | None)
            assert_type(listed["bound"], int | None)
        elif listed["kind"] == "channel":
            assert_type(listed["used_bytes"], int | None)
        else:
            assert_type(listed["messages"], int | None)
    for found in reap():
        assert_type(found["outcome"], str)
        tell(found)
        if found["kind"] == "mq":
            assert_type(found["max_messages"], int | None)

def tell(found: Reaped) -> list[Listed]:
    return [found]

def stream(channel: NamedChannel, buffer: bytearray) -> None:
    assert_type(channel.receive(), tuple[bytes, int])
    assert_type(channel.receive(1), tuple[bytes, int] | None)
    assert_type(channel.receive_into(buffer), tuple[int, int])
    assert_type(channel.receive_into(buffer, 1), tuple[int, int] | None)
    assert_type([message for message, _ in channel], list[bytes])

async def wait(queue: NamedMessageQueue) -> None:
    assert_type(await queue.receive_async(), tuple[bytes, int])
    assert_type(await queue.receive_async(1), tuple[bytes, int] | None)

def picture(segment: NamedSharedMemory) -> None:
    assert_type(segment.ndarray((2, 3)), NDArray[np.float64])
    assert_type(segment.ndarray(6, np.uint8), NDArray[np.uint8])
    assert_type(segment.ndarray(6, np.dtype(np.int32), offset=8), NDArray[np.int32])
    assert_type(segment.ndarray((6,), "u1"), NDArray[Any])

async def hold(lock: NamedLock, permits: NamedBoundedSemaphore) -> None:
    assert_type(await lock.acquire_async(), bool)
    async with permits as same:
        assert_type(same, NamedBoundedSemaphore)

with NamedLock("/x") as lock:
    assert_type(lock, NamedLock)
    assert_type(lock.owner, int | None)
    assert_type(lock.fence, int)
with NamedSemaphore("/x", 3, Flags.LINK_OR_CREATE) as semaphore:
    assert_type(semaphore, NamedSemaphore)
"""


def test_what_type_checkers_say_to_users(tmp_path: Path) -> None:
    """A message without a timeout is never None; what is listed has keys and types."""
    (tmp_path / "program.py").write_text(TYPES, encoding="utf-8")
    assert type_checkers.mypy(tmp_path) == ""
    if importlib.util.find_spec("basedpyright") is not None:
        assert type_checkers.pyright(tmp_path) == ""


def test_what_is_listed_has_the_keys_of_its_type(name: str) -> None:
    """The results are as they are typed."""
    handles = [kind.create(name) for kind in LISTED]
    assert len(handles) == len(KINDS)
    for word, typed in LISTED.values():
        (listed,) = [
            one for one in nob.ipc.list_objects() if one["name"] == name and one["kind"] == word
        ]
        assert listed.keys() == typed.__annotations__.keys()
        assert set(listed["holders"][0]) == types.Holder.__annotations__.keys()

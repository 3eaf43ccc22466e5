"""Processes that create, link, grow and unlink at the same time (contract 3.2, 3.3, 3.4)."""

import contextlib
import random
import time
from collections import Counter
from typing import Any

import pytest
from support import tally
from support.checks import conformance, rounds, seconds
from support.children import in_child
from support.kinds import QUEUE, SEGMENT, SEMAPHORE, Kind, each_kind, removed
from support.scripts import Script
from support.waits import Background

from nob.ipc import Flags

PROCESSES = 4

CLASSES = {
    "semaphore": "kind, small = NamedSemaphore, dict(initial_value=7)",
    "segment": "kind, small = NamedSharedMemory, dict(size=10_000)",
    "queue": "kind, small = NamedMessageQueue, dict(max_messages=1, max_message_size=8)",
    "lock": "kind, small = NamedLock, dict()",
    "permits": "kind, small = NamedBoundedSemaphore, dict(value=7)",
    "channel": "kind, small = NamedChannel, dict(max_messages=7, capacity=4096)",
}


def together(code: str, kind: Kind, *arguments: object, number: int = PROCESSES) -> list[str]:
    """Runs the code in several processes that start at once; the last line each of them says."""
    setup = CLASSES[kind.word] + "\nimport random\nsay('ready'); hear()\n"
    scripts = [Script(setup + code, *arguments) for _ in range(number)]
    try:
        for script in scripts:
            script.expect("ready")
        for script in scripts:
            script.say("go")
        lines = [script.hear() for script in scripts]
        for script in scripts:
            script.finish()
        return lines
    finally:
        for script in scripts:
            script.__exit__(None, None, None)


@conformance("C16")
@each_kind
def test_one_winner_for_each_name(kind: Kind, name: str) -> None:
    """C16: all others see FileExistsError, and nothing else."""
    # The system has room for few queues, and others want some too.
    number = 60 if kind is QUEUE else rounds(100)
    names = [f"{name}-{index}" for index in range(number)]
    code = f"""
won = []
for index in range({number}):
    each = f"{{name}}-{{index}}"
    try:
        kind(each, handle_existence=CREATE, unlink_on_delete=False, **small).close()
        won.append(index)
    except FileExistsError:
        pass
    time.sleep(random.random() * 0.0005)
say(*won)
"""
    with removed(*names):
        lines = together(code, kind, name)
        winners = Counter(int(index) for line in lines for index in line.split())
        assert winners == Counter(range(number))


def test_growing_step_by_step_together(name: str) -> None:
    """The same where each step counts: the size only rises, and ends at the greatest wish."""
    segment = SEGMENT.create(name, size=1)
    for step in tally.counting(rounds(20)):
        base = segment.size
        wishes = [base + 1 + index * 4096 + step for index in range(4)]
        random.Random(step).shuffle(wishes)
        threads = [
            Background(lambda w=wish: SEGMENT.open(name, Flags.LINK_OR_CREATE, size=w).size)
            for wish in wishes
        ]
        got = [thread.result() for thread in threads]
        assert all(size >= wish for size, wish in zip(got, wishes, strict=True))
        assert segment.size == max(wishes)


@conformance("C29", "C31")
@each_kind
def test_one_of_many_unlinks(kind: Kind, name: str) -> None:
    """C29: one succeeds, the others are told that it is gone."""
    for _ in tally.counting(rounds(20)):
        handle = kind.create(name)
        others = [kind.open(name) for _ in range(4)]

        def unlink(other: Any) -> bool:
            try:
                other.unlink()
            except FileNotFoundError:
                return False
            return True

        threads = [Background(lambda other=other: unlink(other)) for other in others]
        assert sorted(thread.result() for thread in threads) == [False, False, False, True]
        assert not kind.exists(name)
        del handle


@each_kind
def test_retries_end(kind: Kind, name: str) -> None:
    """Contract 3.2: they may end in EBUSY after a second at the earliest; here they succeed."""

    def churn() -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                kind.cls.unlink_name(name)
            with contextlib.suppress(FileExistsError):
                kind.create(name, unlink_on_delete=False)

    churning = [Background(lambda: in_child(churn)) for _ in range(2)]
    count = 0
    while any(each.is_running() for each in churning):
        kind.create(name, Flags.LINK_OR_CREATE, unlink_on_delete=False)
        kind.create(name, Flags.UNLINK_AND_CREATE, unlink_on_delete=False)
        count += 1
    for each in churning:
        each.result()
    assert count > 10


def test_names_of_none_do_not_collide() -> None:
    """Random names, made in many threads and processes at once."""

    def create() -> list[str]:
        return [SEMAPHORE.create(None, unlink_on_delete=False).name for _ in range(50)]

    names = [name for each in [Background(create) for _ in range(4)] for name in each.result()]
    names += in_child(create) + in_child(create)
    with removed(*names):
        assert len(set(names)) == 300


@pytest.mark.stress
@conformance("C17", "S26", "H25")
@each_kind
def test_flags_against_each_other(kind: Kind, name: str) -> None:
    """C17, S26, H25: every flag in every process, at random; only the errors that are theirs.

    Whoever replaces has an object of its own, and whoever has an object has all of it.
    """
    code = f"""
complete = {{
    NamedSemaphore: lambda handle: handle.value == 7,
    NamedSharedMemory: lambda handle: handle.size == 10_000,
    NamedMessageQueue: lambda handle: (handle.max_messages, handle.max_message_size) == (1, 8),
    NamedLock: lambda handle: not handle.locked() and not handle.owner_died,
    NamedBoundedSemaphore: lambda handle: (handle.value, handle.bound) == (7, 7),
    NamedChannel: lambda handle: (handle.max_messages, handle.capacity) == (7, 4096),
}}[kind]
end = time.monotonic() + {seconds(1.0)}
chance = random.Random(os.getpid())
counts = dict.fromkeys(Flags, 0)
while time.monotonic() < end:
    flag = chance.choice(list(Flags))
    # It is not linking that makes it complete.
    more = {{}} if flag is LINK else small
    try:
        handle = kind(name, handle_existence=flag, **more)
        counts[flag] += 1
        assert complete(handle), repr(handle)
        if flag in (CREATE, Flags.UNLINK_AND_CREATE): assert not handle.linked_existing_object
        if chance.random() < 0.3: handle.close()
        if chance.random() < 0.3: handle.unlink()
        if chance.random() < 0.2: handle.unlink_on_delete = False
    except FileExistsError:
        assert flag is CREATE, flag
    except FileNotFoundError as error:
        assert flag is LINK or "unlink" in error.strerror, (flag, error)
say(*counts.values())
"""
    totals = [sum(map(int, line.split())) for line in together(code, kind, name)]
    tally.count("rounds", sum(totals))
    assert all(total > 10 for total in totals)

"""receive_many(into=...): what is taken is in the list, whatever is raised (contract 5.9)."""

from typing import Any

import pytest
from support.checks import rounds
from support.kinds import Kind, Messages
from support.scripts import run
from support.tally import count

from nob.ipc import InvalidArgument


def test_it_appends_and_returns_the_list(message_kind: Kind, name: str) -> None:
    queue: Messages = message_kind.create(name)
    taken: list[Any] = ["before"]
    assert queue.receive_many(timeout=0, into=taken) is taken
    queue.send(b"one")
    queue.send(b"two", priority=3)
    assert queue.receive_many(1, into=taken) is taken
    assert taken == ["before", (b"two", 3)]
    assert queue.receive_many(into=taken) is taken
    assert taken == ["before", (b"two", 3), (b"one", 0)]
    queue.send(b"three")
    assert queue.receive_many(into=None) == [(b"three", 0)]


def test_a_list_of_a_subclass(message_kind: Kind, name: str) -> None:
    """It is a list all the same."""

    class Kept(list[Any]):
        def append(self, item: Any) -> None:
            raise AssertionError("not the list's own")

    queue: Messages = message_kind.create(name)
    queue.send(b"one")
    taken = Kept()
    assert queue.receive_many(into=taken) is taken
    assert list(taken) == [(b"one", 0)]


@pytest.mark.parametrize("into", [(), "list", {}, 1, iter([])])
def test_what_is_no_list(message_kind: Kind, name: str, into: Any) -> None:
    """It is an invalid argument, and nothing is taken."""
    queue: Messages = message_kind.create(name)
    queue.send(b"one")
    with pytest.raises(InvalidArgument, match="into must be a list or None, not"):
        queue.receive_many(into=into)
    assert queue.current_messages == 1


def test_nothing_is_lost_to_what_a_handler_raises(message_kind: Kind, name: str) -> None:
    """At whatever moment of the call, or at its end, it comes."""
    messages = rounds(3000)
    code = f"""
class Interruption(Exception): pass
receiving, taken, interruptions = [], [], 0
def handler(*_):
    if receiving:
        receiving.clear()
        raise Interruption
queue = {message_kind.class_name}(name, 8, 16, handle_existence=CREATE)
parent = os.getpid()
if os.fork() == 0:
    for number in range({messages}):
        if not queue.send(b"%d" % number, 20):
            break
        if number % 7 == 0:
            os.kill(parent, signal.SIGALRM)
    os._exit(0)
signal.signal(signal.SIGALRM, handler)
while len(taken) < {messages}:
    try:
        receiving.append(True)
        queue.receive_many(timeout=20, into=taken)
        receiving.clear()
    except Interruption:
        interruptions += 1
assert taken == [(b"%d" % number, 0) for number in range({messages})]
assert interruptions > 0
"""
    ignored = "signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
    assert run(ignored + code, name) == (0, "")
    count("messages", messages)

"""What ends a registration: closing, exit, fork, death (contract 6)."""

import signal

import pytest
from support.checks import conformance, rounds
from support.children import in_child
from support.kinds import QUEUE
from support.notified import Calls, Signals
from support.scripts import Script, run


@conformance("M41", "M45")
def test_another_process_is_registered(name: str) -> None:
    """M41, M45: False, until that process lets go, exits, or is killed."""
    queue = QUEUE.create(name)
    code = (
        "queue = NamedMessageQueue(name); say(queue.request_notification({})); hear(); {}; hear()"
    )
    endings = {
        "say(queue.request_notification(None))": "True",
        "queue.close(); say(True)": "True",
        "os.execlp('echo', 'echo', 'True')": "True",
    }
    for request in ("signal.SIGUSR1", "(print, 1)"):
        for ending, said in endings.items():
            with Script(code.format(request, ending), name) as other:
                other.expect("True")
                assert queue.request_notification(signal.SIGUSR1) is False
                assert queue.request_notification((print, 1)) is False
                other.say("on")
                other.expect(said)
                assert queue.request_notification((print, 1)) is True
                assert queue.request_notification(None) is True
        with Script(code.format(request, "pass"), name) as other:
            other.expect("True")
            assert queue.request_notification((print, 1)) is False
        assert queue.request_notification((print, 1)) is True
        assert queue.request_notification() is True


@conformance("M44")
def test_closing_another_handle_renews_the_registration(name: str) -> None:
    """M44: any closing in the process ends the kernel's registration; ours goes on."""
    queue, calls = QUEUE.create(name), Calls()
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1)
        QUEUE.open(name).close()
        with QUEUE.open(name), QUEUE.open(name, write=False):
            pass
        queue.send(b"x")
        signals.one()
    for count in range(1, rounds(20) + 1):
        queue.receive()
        assert queue.request_notification((calls, count))
        QUEUE.open(name).close()
        queue.send(b"x")
        calls.wait(count)


@conformance("M44")
def test_closing_the_handle_ends_its_registration(name: str) -> None:
    """M44: also when the other handle of the queue was never registered."""
    queue, other, calls = QUEUE.create(name), QUEUE.open(name), Calls()
    assert other.request_notification((calls, 1))
    other.close()
    queue.send(b"x")
    queue.receive()
    with Signals() as signals:
        another = QUEUE.open(name)
        assert another.request_notification(signal.SIGUSR1)
        another.close()
        queue.send(b"x")
        signals.none()
    assert calls.arguments == []


@conformance("M44")
def test_a_forked_childs_close_does_not_matter(name: str) -> None:
    """M44: the registration is the process's."""
    queue, calls = QUEUE.create(name), Calls()
    with Signals() as signals:
        assert queue.request_notification(signal.SIGUSR1)
        in_child(queue.close)
        queue.send(b"x")
        signals.one()
    queue.receive()
    assert queue.request_notification((calls, 1))
    in_child(queue.close)
    queue.send(b"x")
    calls.wait(1)


@conformance("M48")
@pytest.mark.parametrize("ending", ["", "sys.exit()", "del queue", "queue.close()", "os._exit(0)"])
@pytest.mark.parametrize("request_", ["(print, queue)", "signal.SIGUSR1", "(print, 'x')"])
def test_exit_with_a_registration(name: str, ending: str, request_: str) -> None:
    """M48: no crash, no word, and no hanging."""
    code = f"""
queue = NamedMessageQueue(name, 2, 8, handle_existence=CREATE)
queue.request_notification({request_})
{ending}
"""
    assert run(code, name) == (0, "")
    assert QUEUE.exists(name) == (ending == "os._exit(0)")


@conformance("M48")
def test_exit_during_a_callback(name: str) -> None:
    """M48: the thread is a daemon; the exit does not wait for it."""
    code = """
queue = NamedMessageQueue(name, 2, 8, handle_existence=CREATE)
begun = threading.Event()
def wait(_):
    begun.set()
    time.sleep(1000)
queue.request_notification((wait, None))
queue.send(b"x")
begun.wait()
"""
    assert run(code, name) == (0, "")
    assert not QUEUE.exists(name)


@conformance("M48")
def test_fork_with_a_registration(name: str) -> None:
    """M48: the parent's stays; the child has none, and can make its own afterwards."""
    queue, calls = QUEUE.create(name), Calls()
    assert queue.request_notification((calls, 1))

    def child() -> list[bool]:
        mine = Calls()
        refused = queue.request_notification((mine, 2))
        queue.close()
        return [refused, mine.arguments == []]

    assert in_child(child) == [False, True]
    queue.send(b"x")
    calls.wait(1)
    queue.receive()

    def child_alone() -> bool:
        mine = Calls()
        assert queue.request_notification((mine, 2))
        queue.send(b"x")
        mine.wait(1)
        return True

    assert in_child(child_alone)

"""Where a notification's callable runs."""

import pytest
from support.scripts import run

# As gevent does it: such a thread runs when the program waits in a way that is patched, too. A wait
# in native code stops all of them.
PATCH = """
import _thread
def start_new_thread(function, arguments, keywords={}):
    raise AssertionError("this thread would never run")
for module, name_of_it in (
    (_thread, "start_new_thread"),
    (threading, "_start_new_thread"),
    (_thread, "start_joinable_thread"),
    (threading, "_start_joinable_thread"),
):
    if hasattr(module, name_of_it):
        setattr(module, name_of_it, start_new_thread)
"""

REQUESTS = {
    "nob.ipc": "assert queue.request_notification((call, 'argument'))",
    "nob.posix_ipc": """
from nob import posix_ipc
other = posix_ipc.MessageQueue(name)
other.request_notification((call, 'argument'))
""",
}


@pytest.mark.parametrize("request_it", REQUESTS)
@pytest.mark.parametrize("patch", ["", PATCH], ids=["", "threads are patched"])
def test_it_runs_in_a_thread_of_the_systems(name: str, request_it: str, patch: str) -> None:
    """Also where a program has replaced threads."""
    code = f"""
{patch}
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
calls = []
def call(argument):
    calls.append((argument, threading.get_native_id(), threading.current_thread().daemon))
{REQUESTS[request_it]}
queue.send(b"x")
end = time.monotonic() + 30
while not calls and time.monotonic() < end:
    time.sleep(0.001)
[(argument, thread, daemon)] = calls
assert argument == "argument"
assert thread != threading.get_native_id()
assert daemon
"""
    assert run(code, name) == (0, "")


@pytest.mark.parametrize("patch", ["", PATCH], ids=["", "threads are patched"])
def test_what_it_raises(name: str, patch: str) -> None:
    """It goes to threading.excepthook, with the thread; an exit is none."""
    code = f"""
{patch}
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
def call(error):
    called.append(threading.current_thread())
    raise error
called, raised = [], []
threading.excepthook = lambda arguments: raised.append((arguments.exc_value, arguments.thread))
for error in KeyError("word"), SystemExit(3):
    assert queue.request_notification((call, error))
    queue.send(b"x")
    queue.receive()
    end = time.monotonic() + 30
    while len(raised) < len(called) or not called and time.monotonic() < end:
        time.sleep(0.001)
    assert raised == [(error, called[0])], raised
    called.clear(), raised.clear()
"""
    assert run(code, name) == (0, "")


@pytest.mark.parametrize("patch", ["", PATCH], ids=["", "threads are patched"])
@pytest.mark.parametrize("what", ["cancelled", "replaced", "closed", "left"])
def test_a_request_that_comes_to_nothing(name: str, what: str, patch: str) -> None:
    """Its thread ends, or the interpreter does."""
    ends = {
        "cancelled": "assert queue.request_notification(None)",
        "replaced": "assert queue.request_notification(signal.SIGURG)",
        "closed": "queue.close()",
        "left": "sys.exit()",
    }
    code = f"""
{patch}
queue = NamedMessageQueue(name, 1, 16, handle_existence=CREATE)
assert queue.request_notification((print, "called"))
{ends[what]}
end = time.monotonic() + 30
while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < end:
    time.sleep(0.001)
assert len(os.listdir("/proc/self/task")) == 1
"""
    assert run(code, name) == (0, "")

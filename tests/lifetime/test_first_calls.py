"""The first calls of a process, in one thread, while another one forks.

What is made when it is first needed must not be marked as being made while the GIL is let go of:
a child that another thread forks just then would wait for ever, for a thread that it does not have.
"""

from support.kinds import CHANNEL, LOCK, PERMITS, QUEUE, SEGMENT, SEMAPHORE, Kind, each_kind
from support.scripts import Script

CODE = """
import contextlib, faulthandler, logging, pickle, warnings
import nob.ipc, nob.posix_ipc
# An import that another thread has not finished is CPython's own to worry about.
import mmap, nob.ipc.errors, nob.ipc._mapping, nob.ipc._notification

warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside threads is the point
logging.getLogger("nob.ipc").setLevel(logging.DEBUG)
logging.getLogger("nob.ipc").addHandler(logging.NullHandler())

def calls():
    name = f"{sys.argv[1]}-{os.getpid()}"
    handle = SOURCE
    for call in CALLS:
        # What is wrong is refused in as many ways.
        with contextlib.suppress(Exception):
            call(handle)
    handle.unlink()

CALLS = [
    repr,
    pickle.dumps,
    lambda handle: pickle.loads(pickle.dumps(handle)).close(),
    lambda handle: type(handle)("no slash"),
    lambda handle: type(handle)(handle.name, handle_existence="no flag"),
    lambda handle: type(handle)(handle.name, CREATE),
    lambda handle: type(handle).unlink_name(handle.name + "-none"),
    lambda handle: nob.ipc.list_objects(name=3),
    lambda handle: setattr(handle, "unlink_on_delete", "no"),
    lambda handle: nob.posix_ipc.Semaphore(handle.name + "-none"),
    lambda handle: nob.posix_ipc.Semaphore(name=3),
    MORE
]

# Whoever lets go of the GIL hands it to the thread that has waited for a microsecond.
sys.setswitchinterval(1e-6)
ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK
begun = False

def work():
    while not begun:
        pass
    calls()

thread = threading.Thread(target=work)
thread.start()
begun = True
children = []
while not children or (thread.is_alive() and len(children) < 200):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        calls()
        os._exit(0)
    children.append(child)
thread.join()
say({os.waitpid(child, 0)[1] for child in children})
"""

MORE = {
    SEMAPHORE: "lambda handle: handle.acquire(timeout='no'), lambda handle: handle.acquire(),",
    SEGMENT: "lambda handle: handle.mmap().close(), lambda handle: handle.resize('no'),",
    QUEUE: "lambda handle: handle.send({}), lambda handle: handle.receive(timeout=0),"
    "lambda handle: handle.request_notification((print, 3)),",
    LOCK: "lambda handle: handle.acquire(), lambda handle: handle.close(),",
    PERMITS: "lambda handle: handle.acquire(), lambda handle: handle.close(),",
    CHANNEL: "lambda handle: handle.send({}), lambda handle: handle.receive(timeout=0),",
}


@each_kind
def test_a_fork_wherever_another_thread_lets_go(kind: Kind, name: str) -> None:
    code = CODE.replace("SOURCE", kind.source("CREATE")).replace("MORE", MORE[kind])
    with Script(code, name) as script:
        assert (script.hear(), script.end()) == ("{0}", (0, ""))

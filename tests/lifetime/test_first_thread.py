"""A process whose first thread has ended while others go on: `/proc/self` is empty then."""

from support.kinds import KINDS, SEGMENT
from support.namespaces import alone
from support.scripts import Script

from nob.ipc import list_objects

CODE = """
def work():
    main = threading.main_thread().native_id
    while open(f"/proc/self/task/{main}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.001)
    semaphore = NamedSemaphore(name, 3, handle_existence=CREATE)
    segment = NamedSharedMemory(name, 64, handle_existence=CREATE)
    queue = NamedMessageQueue(name, 2, 16, handle_existence=CREATE)
    lock = NamedLock(name, CREATE)
    permits = NamedBoundedSemaphore(name, 3, CREATE)
    channel = NamedChannel(name, handle_existence=CREATE)
    NamedChannel(name).send(b"x")
    assert channel.fileno() and channel.receive() == (b"x", 0)
    with lock, permits:
        # Opened while /proc/self is empty, as each handle must be.
        other = NamedLock(name)
        assert not other.acquire(timeout=0.01) and lock.owner == os.getpid()
    with other:
        assert other.held and not lock.held
    other.close()
    NamedSharedMemory(name, 100_000).close()
    segment.resize(200_000)
    assert segment.size == 200_000
    NamedSharedMemory(name, 64, handle_existence=Flags.UNLINK_AND_CREATE, unlink_on_delete=False)
    say("ready")
    hear()
    for handle in semaphore, segment, queue, lock, permits, channel:
        handle.__del__()
    os._exit(0)

threading.Thread(target=work).start()
exit_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
ctypes.CDLL(None).syscall(exit_thread, 0)
"""


def test_what_other_threads_do(name: str) -> None:
    """They create, grow and unlink as ever; the process counts as alive and as holding things."""

    def look() -> list[str]:
        with Script(CODE, name) as script:
            script.expect("ready")
            found = {each["kind"]: each for each in list_objects() if each["name"] == name}
            assert set(found) == {"sem", "shm", "mq", "lock", "permits", "channel"}
            for each in found.values():
                if each["kind"] != "shm":
                    assert [holder["pid"] for holder in each["holders"]] == [script.pid]
                    assert each["orphan"] is False
            script.say("end")
            script.finish()
        return [kind.word for kind in KINDS if kind.exists(name)]

    assert alone(look) == [SEGMENT.word]

"""A program in C and ours share semaphores, segments and queues by name."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.checks import WATCHDOG, conformance, rounds
from support.kinds import QUEUE, SEGMENT, SEMAPHORE
from support.waits import Background, wait_until_asleep

Peer = Callable[..., str]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer, compiled."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    output = tmp_path_factory.mktemp("c") / "peer"
    source = Path(__file__).parents[1] / "support" / "peer.c"
    subprocess.run(
        [
            compiler,
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            "-o",
            output,
            source,
            "-pthread",
        ],
        check=True,
        timeout=60,
    )
    return output


@pytest.fixture
def peer(program: Path) -> Peer:
    """Runs the peer with a command and its words, and returns what it prints."""

    def run(*words: object) -> str:
        command = [program, *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WATCHDOG, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.removeprefix("ready\n").rstrip("\n")

    return run


@pytest.fixture
def started(program: Path):  # type: ignore[no-untyped-def]
    """Starts the peer, and returns it when it says that it is ready."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: object) -> Any:
        command = [program, *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@conformance("S26")
def test_our_semaphore_in_c(name: str, peer: Peer) -> None:
    """sem_open finds it, with its value."""
    semaphore = SEMAPHORE.create(name, initial_value=5)
    assert peer("sem-value", name) == "5"
    assert peer("sem-value", name[1:]) == "5"
    peer("sem-release", name)
    assert semaphore.value == 6
    assert semaphore.acquire()
    assert peer("sem-acquire", name) == "acquired"
    assert peer("sem-value", name) == "4"
    assert semaphore.value == 4


@conformance("S26")
def test_cs_semaphore_with_us(name: str, peer: Peer) -> None:
    peer("sem-create", name, 2)
    semaphore = SEMAPHORE.open(name)
    assert semaphore.linked_existing_object is True
    assert semaphore.value == 2
    assert semaphore.acquire()
    semaphore.release(3)
    assert peer("sem-value", name) == "4"
    semaphore.unlink()
    assert not SEMAPHORE.exists(name)


@conformance("S9", "S10")
def test_c_waits_for_us_and_we_for_c(name: str, peer: Peer, started: Any) -> None:
    """sem_wait is woken by release, and acquire by sem_post."""
    semaphore = SEMAPHORE.create(name, initial_value=0)
    waiting = started("sem-acquire", name)
    wait_until_asleep(waiting.pid)
    assert semaphore.value == 0
    semaphore.release()
    assert waiting.communicate(timeout=WATCHDOG)[0] == "acquired\n"
    for timeout in (None, 60):
        ours = Background(lambda timeout=timeout: semaphore.acquire(timeout=timeout))
        ours.wait_until_asleep()
        peer("sem-release", name)
        assert ours.result() is True
    assert semaphore.value == 0


@conformance("S9")
def test_a_mutex_of_c_and_us(name: str, started: Any) -> None:
    """Two programs in C and two threads of ours count together."""
    number = rounds(5000)
    semaphore, segment = SEMAPHORE.create(name, initial_value=1), SEGMENT.create(name)
    memory = segment.mmap()
    view = memoryview(memory).cast("l")

    def count() -> None:
        for _ in range(number):
            with semaphore:
                view[0] += 1

    peers = [started("count", name, number) for _ in range(2)]
    for thread in [Background(count) for _ in range(2)]:
        thread.result()
    for process in peers:
        assert process.wait(WATCHDOG) == 0
    assert view[0] == 4 * number
    assert semaphore.value == 1
    view.release()
    memory.close()


@conformance("H7")
def test_our_segment_in_c(name: str, peer: Peer) -> None:
    """shm_open finds it, with its size and content."""
    segment = SEGMENT.create(name, size=100)
    with segment.mmap() as memory:
        memory[:5] = b"hello"
        assert peer("shm-read", name) == "100 hello"
        peer("shm-write", name, "there!")
        assert memory[:6] == b"there!"
    segment.resize(200)
    assert peer("shm-read", name) == "200 there!"


@conformance("H7")
def test_cs_segment_with_us(name: str, peer: Peer) -> None:
    peer("shm-create", name, 50)
    peer("shm-write", name, "words")
    segment = SEGMENT.open(name)
    assert segment.size == 50
    with segment.mmap() as memory:
        assert memory[:6] == b"words\0"
        memory[:5] = b"other"
    assert peer("shm-read", name) == "50 other"


@conformance("M23")
def test_our_queue_in_c(name: str, peer: Peer) -> None:
    """mq_open finds it, with its attributes and messages."""
    queue = QUEUE.create(name, max_messages=3, max_message_size=20)
    queue.send("one", priority=1)
    assert peer("mq-attributes", name) == "3 20 1"
    peer("mq-send", name, "two", 2)
    assert peer("mq-receive", name) == "two 2"
    assert queue.receive() == (b"one", 1)


@conformance("M23")
def test_cs_queue_with_us(name: str, peer: Peer) -> None:
    peer("mq-create", name, 4, 30)
    peer("mq-send", name, "hello", 7)
    queue = QUEUE.open(name)
    assert (queue.max_messages, queue.max_message_size, queue.current_messages) == (4, 30, 1)
    assert queue.receive() == (b"hello", 7)
    queue.send("back", priority=32767)
    assert peer("mq-receive", name) == "back 32767"


@conformance("M25")
def test_c_and_we_wait_for_messages(name: str, peer: Peer, started: Any) -> None:
    """mq_receive is woken by send, and receive by mq_send; likewise for room."""
    queue = QUEUE.create(name, max_messages=1)
    waiting = started("mq-receive", name)
    wait_until_asleep(waiting.pid)
    queue.send("ours")
    assert waiting.communicate(timeout=WATCHDOG)[0] == "ours 0\n"
    for timeout in (None, 60):
        receiver = Background(lambda timeout=timeout: queue.receive(timeout))
        receiver.wait_until_asleep()
        peer("mq-send", name, "theirs", 3)
        assert receiver.result() == (b"theirs", 3)
        queue.send("first")
        sender = Background(lambda timeout=timeout: queue.send("second", timeout))
        sender.wait_until_asleep()
        assert peer("mq-receive", name) == "first 0"
        assert sender.result() is True
        assert queue.receive(0) == (b"second", 0)
    queue.send("first")
    waiting = started("mq-send", name, "second", 9)
    wait_until_asleep(waiting.pid)
    assert queue.receive() == (b"first", 0)
    assert queue.receive(20) == (b"second", 9)


@conformance("C30")
def test_c_unlinks_ours(name: str, peer: Peer) -> None:
    """sem_unlink, shm_unlink, mq_unlink; our handles work on, and deletion is silent."""
    kinds = SEMAPHORE, SEGMENT, QUEUE  # C has no other
    handles = [kind.create(name) for kind in kinds]
    peer("unlink", name)
    for kind, handle in zip(kinds, handles, strict=True):
        assert not kind.exists(name)
        kind.use(handle)
        with pytest.raises(FileNotFoundError):
            handle.unlink()

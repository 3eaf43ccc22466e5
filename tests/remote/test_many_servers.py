"""A primary that is replaced, and a cluster: what the package promises there (11.1, 11.3, 11.5)."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

from support.checks import conformance, eventually
from support.servers import Cluster, watched
from support.waits import Background

from nob import ipc
from nob.ipc import Flags

CREATE = Flags.RAISE_IF_EXISTS


class Sender:
    """Sends numbers, each once, and keeps what it was told of them."""

    def __init__(self, queue: ipc.NamedMessageQueue) -> None:
        self._queue = queue
        self._over = threading.Event()
        self.acknowledged: set[int] = set()
        """These are on the primary and on its replica."""
        self.unconfirmed: set[int] = set()
        """These were sent, and may be on no replica."""
        self._thread = Background(self._send)

    def _send(self) -> None:
        for number in itertools.count():
            if self._over.is_set():
                return
            try:
                self._send_one(number)
            except ipc.Unconfirmed:
                self.unconfirmed.add(number)
            else:
                self.acknowledged.add(number)

    def _send_one(self, number: int) -> None:
        while True:
            try:
                sent = self._queue.send(str(number))
            except ipc.ServerUnavailable:
                continue
            except ipc.OutcomeUnknown as unknown:
                sent = unknown.retry()
            assert sent is True
            return

    def end(self) -> None:
        self._over.set()
        self._thread.result()


def receive(queue: ipc.NamedMessageQueue, over: threading.Event) -> list[tuple[int, bool]]:
    """What comes until it is over, and whether a replica knew that it was taken."""
    received: list[tuple[int, bool]] = []
    while not over.is_set():
        try:
            got = queue.receive(timeout=0.3)
            sure = True
        except ipc.ServerUnavailable:
            continue
        except ipc.Unconfirmed as unconfirmed:
            got, sure = unconfirmed.result, False
        if got is not None:
            received.append((int(got[0]), sure))
    return received


@conformance("R29")
def test_every_message_of_a_failover_is_accounted_for(
    program: str, tmp_path: Path, name: str
) -> None:
    """Nothing that a replica has confirmed is lost or comes twice, and waits go on."""
    with watched(program, tmp_path) as (primary, _, sentinel):
        sure = f"{sentinel.url}?durability=replica"
        with (
            ipc.connect(sentinel.url, patience=60) as place,
            ipc.connect(sure, patience=60) as sending,
            ipc.connect(sure, patience=60) as receiving,
        ):
            sending.NamedMessageQueue(name, 50, handle_existence=CREATE, unlink_on_delete=False)
            waited = sending.NamedSemaphore(name, 0, CREATE, unlink_on_delete=False)
            # Those that wait make no promise beyond the new primary, which has no replica.
            waiter = Background(place.NamedSemaphore(name).acquire)
            sender = Sender(sending.NamedMessageQueue(name))
            over = threading.Event()
            receiver = Background(lambda: receive(receiving.NamedMessageQueue(name), over))
            eventually(lambda: len(sender.acknowledged) > 200, "messages that are sent")
            before = len(sender.unconfirmed)
            primary.kill()
            eventually(lambda: len(sender.unconfirmed) > before + 3, "a new primary")
            assert waiter.is_running()
            place.NamedSemaphore(waited.name).release()
            assert waiter.result() is True
            sender.end()
            over.set()
            received = receiver.result()
            rest = place.NamedMessageQueue(name).receive_many(100, timeout=0)
            received += [(int(message), False) for message, _ in rest]
            came = [number for number, _ in received]
            assert not sender.acknowledged - set(came), "what was acknowledged is lost"
            assert set(came) <= sender.acknowledged | sender.unconfirmed
            confirmed: set[int] = set()
            for number, is_sure in received:
                assert number not in confirmed, f"{number} came again"
                if is_sure:
                    confirmed.add(number)
            for kind in (ipc.NamedMessageQueue, ipc.NamedSemaphore):
                kind.unlink_name(name, place)


@conformance("R30")
def test_a_cluster_is_one_server(program: str, tmp_path: Path, name: str) -> None:
    """Objects of all its nodes are used alike, also while the slot of one moves."""
    with Cluster(program, tmp_path) as cluster, ipc.connect(cluster.url) as place:
        queues = [
            place.NamedMessageQueue(f"{name}-{number}", 100, handle_existence=CREATE)
            for number in range(12)
        ]
        assert all(node.demand("DBSIZE") != ":0\r\n" for node in cluster.nodes)
        for queue in queues:
            assert queue.send_many([f"{number}" for number in range(20)]) == 20
            got = queue.receive_many(100)
            assert got == [(b"%d" % number, 0) for number in range(20)]
        lock = place.NamedLock(name, CREATE)
        with lock:
            assert not place.NamedLock(name).acquire(timeout=0)
        listed = {one["name"] for one in place.list_objects()}
        assert listed == {lock.name, *(queue.name for queue in queues)}

        moving, others = queues[0], queues[1:]
        key = "nipc:{q/" + moving.name[1:] + "}"
        assert moving.send_many(["kept", "kept, too"]) == 2
        waiting = place.NamedMessageQueue(moving.name)
        cluster.move(key)
        after = cluster.nodes[(cluster.owner(key) + 1) % 3]
        assert after.demand("EXISTS", key) == ":1\r\n"
        # This one knows the old node, and a new connection none.
        assert moving.receive(timeout=0) == (b"kept", 0)
        with ipc.connect(cluster.url) as another:
            assert another.NamedMessageQueue(moving.name).receive(0) == (b"kept, too", 0)
        waiter = Background(waiting.receive)
        time.sleep(0.2)
        assert moving.send("after")
        assert waiter.result() == (b"after", 0)
        assert all(queue.send("x") for queue in others)
        assert {one["name"] for one in place.list_objects()} == listed

"""Processes that are killed while they send and receive (contract 10.1, 10.2)."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import time
from collections import Counter

from support.checks import WATCHDOG, conformance, rounds, seconds
from support.scripts import Script

from nob.ipc import Flags, NamedChannel

SENDER = """
import hashlib, itertools
channel = NamedChannel(name)
me = sys.argv[2]
say("ready")
for number in itertools.count():
    body = f"{me}:{number}:".encode()
    body += bytes([number % 256]) * (number * 131 % 4000)
    assert channel.send(body + hashlib.md5(body).digest())
    # It was sent: this answers for it, if somebody listens.
    if len(sys.argv) < 4:
        os.write(1, f"{number}\\n".encode())
"""

RECEIVER = """
channel = NamedChannel(name)
say("ready")
while True:
    channel.receive()
"""


def answers(sender: Script) -> int:
    """How many messages a killed sender has answered for."""
    heard = sender.heard()
    output, errors = sender.process.communicate(timeout=WATCHDOG)
    assert errors == b"", errors
    return len((heard + output).split())


@conformance("N4")
def test_nothing_that_was_sent_is_lost(name: str) -> None:
    """Only senders are killed: what one answered for comes once, whole and in order."""

    channel = NamedChannel(name, capacity=1 << 16, handle_existence=Flags.RAISE_IF_EXISTS)
    chance = random.Random(3)
    last: dict[str, int] = {}
    answered: dict[str, int] = {}

    def take(message: bytes) -> None:
        body, digest = message[:-16], message[-16:]
        assert hashlib.md5(body).digest() == digest, "torn"
        who, number, _ = body.split(b":", 2)
        sender = who.decode()
        assert int(number) == last.get(sender, -1) + 1, "lost, twice or out of order"
        last[sender] = int(number)

    kills = rounds(40, 400)
    with contextlib.ExitStack() as stack:
        senders: dict[str, Script] = {}
        for number in range(kills + 2):
            sender = stack.enter_context(Script(SENDER, name, f"s{number}"))
            sender.expect("ready")
            senders[f"s{number}"] = sender
            end = time.monotonic() + chance.random() * 0.02
            while time.monotonic() < end:
                for message, _ in channel.receive_many(timeout=0.5):
                    take(message)
            if number >= 2:
                victim = chance.choice(list(senders))
                senders[victim].process.send_signal(signal.SIGKILL)
                answered[victim] = answers(senders.pop(victim))
        for victim, sender in senders.items():
            sender.process.send_signal(signal.SIGKILL)
            answered[victim] = answers(sender)
        for message, _ in channel.receive_many(timeout=0):
            take(message)
    for sender, count in answered.items():
        # What is more than that was sent when the kill came.
        assert count <= last.get(sender, -1) + 1 <= count + 1, sender


@conformance("N4")
def test_both_sides_are_killed(name: str) -> None:
    """The others go on, within the time that the contract says, and nothing comes twice."""
    channel = NamedChannel(name, capacity=1 << 14, handle_existence=Flags.RAISE_IF_EXISTS)
    chance = random.Random(4)
    seen: Counter[bytes] = Counter()
    end = time.monotonic() + seconds(4, 20)
    with contextlib.ExitStack() as stack:
        workers: list[Script] = []
        number = 0
        while time.monotonic() < end:
            number += 1
            code = SENDER if number % 2 else RECEIVER
            worker = stack.enter_context(Script(code, name, f"w{number}", "silent"))
            worker.expect("ready")
            workers.append(worker)
            if len(workers) > 4:
                # Not the last one: that is the sender of whom the next message may have to come.
                victim = workers.pop(chance.randrange(len(workers) - 1))
                victim.process.send_signal(signal.SIGKILL)
                assert victim.end() == (-signal.SIGKILL, "")
            # A sender lives, so there is a message soon, whoever has just been killed.
            if number % 2:
                message = channel.receive(timeout=WATCHDOG)
                assert message is not None
                head = message[0].rsplit(b":", 1)[0]
                seen[head] += 1
        assert max(seen.values()) == 1
        for worker in workers:
            assert worker.process.poll() is None

"""Processes that do everything at once to a few names, and are killed (chaos_player.py).

What must hold: nobody crashes or hangs, no error comes out that nobody should expect, no two
objects of one name are in use by handles of LINK_OR_CREATE, and nothing is left at the end, or
after `reap` where somebody was killed or ended while a daemon thread waited in the object.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.isolation import isolation

from stress.interpreters import COMPLAINT, TESTS, Interpreter, environment
from stress.progress import HERE, ROOT, SCALE, Progress, run

PLAYERS = 5
SECONDS = 4.0
WATCHDOG = 60


def check(progress: Progress, interpreters: list[Interpreter], seed: int) -> None:
    """Rounds without and with kills, on each interpreter, in namespaces of their own."""
    if not isolation():
        progress.keep("skipped: chaos: this user may make no namespaces, and reap is for all")
        return
    # What goes wrong in one of thirty rounds was found here.
    for number in range(max(2, int(3 * SCALE))):
        interpreter = interpreters[number // 2 % len(interpreters)]
        mood = ["calm", "deadly"][number % 2]
        progress.step = f"chaos: {mood}, Python {interpreter.version}, seed {seed + number}"
        words = [str(seed + number), mood, interpreter.path]
        command = [*isolation(), sys.executable, "-m", "stress.chaos", *words]
        run(progress, command, r"(\d+) turns", "rounds", **environment())


class Round:
    """Players that come and go for some seconds."""

    def __init__(self, folder: Path, seed: int, mood: str, python: str) -> None:
        self._folder = folder
        self._python = python
        self._mood = mood
        self._chance = random.Random(seed)
        self._players: list[subprocess.Popen[bytes]] = []
        self.faults: list[str] = []
        for each in ("faults", "killed", "rounds", "errors", "waits"):
            (folder / each).mkdir()

    def start(self) -> None:
        seed = self._chance.randrange(1 << 32)
        seconds = self._chance.uniform(0.2, 2)
        words = [str(self._folder), str(seed), str(seconds), self._mood]
        with open(self._folder / "errors" / str(seed), "wb") as errors:
            player = subprocess.Popen(
                [self._python, str(HERE / "chaos_player.py"), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=TESTS,
                # Its forked children are killed with it.
                start_new_session=True,
            )
        self._players.append(player)

    def play(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            while len(self._players) < PLAYERS:
                self.start()
            time.sleep(self._chance.random() * 0.05)
            if self._mood == "deadly" and self._chance.random() < 0.2:
                self._kill(self._chance.choice(self._players))
            for player in self._players[:]:
                if player.poll() is not None:
                    self._end(player)
        for player in self._players[:]:
            self._end(player)

    def _kill(self, player: subprocess.Popen[bytes]) -> None:
        (self._folder / "killed" / str(player.pid)).touch()
        os.killpg(player.pid, signal.SIGKILL)

    def _end(self, player: subprocess.Popen[bytes]) -> None:
        self._players.remove(player)
        try:
            status = player.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            os.killpg(player.pid, signal.SIGABRT)  # faulthandler says where it is
            self.faults.append(f"{player.args} hangs: {player.wait()}")
            return
        killed = (self._folder / "killed" / str(player.pid)).exists()
        if status != 0 and not (killed and status == -signal.SIGKILL):
            self.faults.append(f"{player.args} ended with {status}")

    def audit(self) -> None:
        """Looks at what is left, past the library, after `reap`.

        Where nobody was killed, that removes only what a daemon thread waited in.
        """
        import nob.ipc

        reaped = nob.ipc.reap(dry_run=False)
        waited = {f"/{file.name}" for file in (self._folder / "waits").iterdir()}
        names = {str(each["name"]) for each in reaped}
        if self._mood == "calm" and not names <= waited:
            self.faults.append(f"left behind, and nobody waited in it: {names - waited}")
        left: list[object] = sorted(os.listdir("/dev/shm"))
        left += nob.ipc.list_objects()
        if left:
            told = [(each["name"], each["kind"], each["outcome"]) for each in reaped]
            self.faults.append(f"left behind: {left}; reap: {told}")
        self.faults += [file.read_text() for file in (self._folder / "faults").iterdir()]
        for file in (self._folder / "errors").iterdir():
            if COMPLAINT.search(text := file.read_text(errors="replace")):
                self.faults.append(f"player {file.name} says:\n{text}")


def main() -> int:
    seed, mood, python = int(sys.argv[1]), *sys.argv[2:4]
    with tempfile.TemporaryDirectory(prefix="nob-chaos-", dir=ROOT / "target") as folder:
        played = Round(Path(folder), seed, mood, python)
        played.play()
        played.audit()
        turns = sum(int(file.read_text()) for file in Path(folder, "rounds").iterdir())
    print(f"{turns} turns")
    if turns == 0:
        played.faults.append("nobody ever had a lock")
    for fault in played.faults:
        print(f"FAULT: {fault}")
    return int(bool(played.faults))


if __name__ == "__main__":
    sys.exit(main())

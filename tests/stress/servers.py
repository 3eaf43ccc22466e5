"""Objects on a server: the tests of crate, command and package, on every server there is."""

from __future__ import annotations

import sys
from pathlib import Path

from support.servers import programs

from stress.progress import SCALE, Progress, run

CARGO = ["cargo", "test", "--locked", "--package", "nob-ipc-redis", "--features", "tls"]
COMMAND = ["cargo", "test", "--locked", "--package", "nob-ipc-cli", "--test", "it", "server"]
PASSED = r"test result: ok\. (\d+) passed"


def check(progress: Progress) -> None:
    """The crate's tests include a while of everything at once, NOB_IPC_STRESS seconds long."""
    found = programs()
    if not found:
        progress.keep(
            "skipped: servers: neither redis-server nor valkey-server is on the path, and"
            " NOB_IPC_REDIS_SERVER names none"
        )
    for program in found:
        environment = {"NOB_IPC_REDIS_SERVER": program, "NOB_IPC_STRESS": f"{SCALE:g}"}
        progress.step = f"{Path(program).name}: the tests of the crate"
        run(progress, [*CARGO, "--", "--nocapture"], PASSED, "rounds", **environment)
        progress.step = f"{Path(program).name}: the tests of the command"
        run(progress, COMMAND, PASSED, "rounds", **environment)
        progress.step = f"{Path(program).name}: the tests of the package"
        remote = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/remote"]
        remote += ["--timeout=1800", "-o", "faulthandler_timeout=2000"]
        run(progress, remote, r"(\d+) passed", "rounds", **environment)

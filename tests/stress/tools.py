"""What cargo runs: sweeps of failing calls, kill loops, fuzz targets, and the heavy tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stress.interpreters import environment
from stress.progress import HERE, ROOT, SCALE, Progress, run

SECONDS = 900

# They count descriptors, mappings and address space, of which the sanitizer takes its share, or
# they build programs of their own.
_UNFIT = [
    "fault_tests::",
    "full_shm::address_space",
    "full_shm::mappings",
    "close_and_unlink::a_thousand_rounds",
    "limits::no_memory_for_a_message",
    "traffic::memory_does_not_grow",
    "examples::",
]


def check(progress: Progress) -> None:
    _inject_faults(progress)
    _kill_processes(progress)
    _fuzz(progress)
    _address_sanitizer(progress)
    _valgrind(progress)


def _inject_faults(progress: Progress) -> None:
    """The sweeps of the crate: each call of each operation fails with each errno."""
    progress.step = "each system call of the core fails"
    command = ["cargo", "test", "--locked", "--package", "nob-ipc", "--lib"]
    run(
        progress,
        [*command, "fault_tests::", "--", "--nocapture"],
        r"(\d+) calls made to fail",
        "faults",
    )


def _kill_processes(progress: Progress) -> None:
    """Processes die at random moments: nothing is lost, doubled, or kept silent."""
    progress.step = "owners, senders and receivers are killed"
    command = ["cargo", "test", "--locked", "--package", "nob-ipc", "--test", "it"]
    run(
        progress,
        [*command, "--", "--nocapture", "kill_loop::", "memory_does_not_grow"],
        r"(\d+) (?:owners|holders|senders|processes) killed",
        "kills",
    )


def _fuzz(progress: Progress) -> None:
    progress.step = "fuzzing"
    command = [sys.executable, "fuzz/run.py", str(max(2, int(SCALE)))]
    run(progress, command, r"(\d+) inputs", "inputs")


def _address_sanitizer(progress: Progress) -> None:
    """The core's own tests, with every access to memory checked."""
    progress.step = "the core under AddressSanitizer"
    if reason := _no_sanitizer():
        progress.keep(f"skipped: AddressSanitizer: {reason}")
        return
    # With a target the flag is for the crates alone, not for what builds them.
    command = ["cargo", "test", "--quiet", "--locked", "--package", "nob-ipc", "--lib", "--tests"]
    command += ["--target", _host(), "--target-dir", "target/sanitizer"]
    command += ["--", *(word for test in _UNFIT for word in ("--skip", test))]
    # Children that end by _exit have memory in use, and a bus error is what some tests expect.
    run(
        progress,
        command,
        r"test result: ok\. (\d+) passed",
        "rounds",
        RUSTC_BOOTSTRAP="1",
        RUSTFLAGS="-Zsanitizer=address",
        ASAN_OPTIONS="detect_leaks=0:handle_sigbus=0",
    )


def _host() -> str:
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = re.search(r"^host: (.+)$", version, re.MULTILINE)
    assert host, version
    return host[1]


def _no_sanitizer() -> str:
    """Why there is none, if there is none."""
    if shutil.which("rustc") is None:
        return "not installed (rustc)"
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not list(Path(sysroot).glob("lib/rustlib/*/lib/librustc*_rt.asan.a")):
        return "not installed (its runtime is not among the files of this rustc)"
    return ""


def _valgrind(progress: Progress) -> None:
    """A program that uses every call, with what the package itself does to memory checked."""
    progress.step = "every call under valgrind"
    if shutil.which("valgrind") is None:
        progress.keep("skipped: valgrind: not installed")
        return
    with tempfile.NamedTemporaryFile("r", prefix="nob-valgrind-") as log:
        command = ["valgrind", "--error-limit=no", "--leak-check=no", f"--log-file={log.name}"]
        done = subprocess.run(
            [*command, sys.executable, str(HERE / "every_call.py")],
            # With its own allocator Python reads freed memory on purpose.
            env=environment() | {"PYTHONMALLOC": "malloc"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        reports = re.split(r"^==\d+== \n", log.read(), flags=re.MULTILINE)
    if done.returncode != 0:
        progress.fail(f"it ended with {done.returncode}\n{done.stderr}")
    for report in reports:
        if re.search(r"Invalid|uninitialised|terminating", report) and "_native" in report:
            progress.fail(report)

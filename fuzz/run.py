"""Builds the fuzz targets and runs each for some seconds.

    python fuzz/run.py [SECONDS] [TARGET ...]

A stable compiler does; only the sanitizers need another, and the crate's unsafe code calls the
system more than it handles memory. Where it cannot be done this says so.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILT = HERE.parent / "target" / "fuzz"
TARGETS = ["name", "deadline", "messages", "channel"]

# Coverage counters and comparisons, as libFuzzer reads them.
FLAGS = [
    "--cfg=fuzzing",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
]


def build() -> Path:
    """The folder of the built targets."""
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = re.search(r"^host: (.+)$", version, re.MULTILINE)
    assert host, version
    # With a target the flags are for the crates alone, not for what builds them.
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target", host[1]]
    command += ["--target-dir", str(BUILT), "--config", f"build.rustflags={FLAGS}"]
    subprocess.run(command, cwd=HERE, check=True)
    return BUILT / host[1] / "release"


def fuzz(folder: Path, target: str, seconds: int) -> bool:
    """Runs one target and says how many inputs it took; those that break it are kept and shown."""
    options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={BUILT}/"]
    options += ["-verbosity=1", "-timeout=30"]
    done = subprocess.run(
        [folder / target, *options], capture_output=True, text=True, errors="replace", check=False
    )
    inputs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode == 0 and inputs:
        print(f"{target}: {inputs[1]} inputs", flush=True)
        return True
    print(f"{target}: FAILED\n{done.stderr[-4000:]}", flush=True)
    return False


def main() -> int:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    missing = [each for each in ("cargo", "rustc", "c++") if shutil.which(each) is None]
    if missing:
        print(f"skipped: fuzzing needs {' and '.join(missing)}, which was not found")
        return 0
    folder = build()
    good = [fuzz(folder, each, seconds) for each in sys.argv[2:] or TARGETS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Instructions per call of the core, counted by callgrind and held to `instructions.toml`: unlike a
time, the count does not depend on the machine or on what else it does.

`python bench/instructions.py` ends with status 1 when a call has become dearer than its budget
allows; `--update` writes what was counted as the new budget. Needs cargo and valgrind; without
valgrind, or on a processor that has no budget, it says so and counts nothing."""

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

BENCH = Path(__file__).parent.absolute()
BUDGETS = BENCH / "instructions.toml"
# The difference of two runs is free of what starting and ending costs.
FEW, MANY = 500, 2_500
_COLLECTED = re.compile(r"Collected : (\d+)")


class CountError(Exception):
    pass


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=BENCH.parent, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode != 0:
        raise CountError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done


def build() -> str:
    """The path of the program that makes the calls."""
    done = run(
        *("cargo", "bench", "--package", "nob-ipc", "--bench", "hot_calls"),
        *("--no-run", "--message-format", "json"),
    )
    messages = (json.loads(line) for line in done.stdout.splitlines())
    for message in messages:
        if message.get("executable") and message["target"]["name"] == "hot_calls":
            return str(message["executable"])
    raise CountError("cargo does not say where the program is")


def collected(program: str, call: str, count: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        out = f"--callgrind-out-file={directory}/out"
        done = run("valgrind", "--tool=callgrind", out, program, call, str(count))
    found = _COLLECTED.search(done.stderr)
    if not found:
        raise CountError(f"callgrind does not say what it collected:\n{done.stderr}")
    return int(found[1])


def instructions(program: str, call: str) -> float:
    difference = collected(program, call, MANY) - collected(program, call, FEW)
    return difference / (MANY - FEW)


def updated(text: str, call: str, count: float) -> str:
    return re.sub(rf"(?m)^({call} *= *)\d+", rf"\g<1>{round(count)}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the budgets anew")
    update = parser.parse_args().update
    text = BUDGETS.read_text()
    settings = tomllib.loads(text)
    budgets = settings["instructions"].get(platform.machine())
    if budgets is None:
        print(f"no budget for {platform.machine()}: nothing counted")
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: nothing counted")
        return 0
    program = build()
    exceeded = False
    print(f"{'call':24}{'budget':>8}{'counted':>10}")
    for call, budget in budgets.items():
        count = instructions(program, call)
        over = count > budget * (1 + settings["tolerance_percent"] / 100) + settings["tolerance"]
        exceeded |= over
        change = f"{count / budget - 1:+9.1%}  {'OVER' if over else ''}".rstrip()
        print(f"{call:24}{budget:8}{count:10.1f}{change}")
        text = updated(text, call, count)
    if update:
        BUDGETS.write_text(text)
        return 0
    if exceeded:
        print("over budget: make it cheaper, or say why in the commit that runs this with --update")
    return 1 if exceeded else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CountError as error:
        sys.exit(str(error))

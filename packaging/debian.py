"""Debian systems in folders, to run in: with other interpreters, or another glibc.

python packaging/debian.py SUITE PACKAGE ... -- COMMAND ...
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOTS = ROOT / "target" / "roots"

# The new root is entered by pivot_root: within a chroot the kernel permits no user namespaces, and
# tests that need them would be skipped. Objects are made in a /dev/shm of its own.
ENTER = """
root=$1 folder=$2
shift 2
mount --bind "$root" "$root"
for place in proc sys dev; do mount --rbind "/$place" "$root/$place"; done
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mkdir -p "$root$folder"
mount --rbind "$folder" "$root$folder"
cd "$root"
pivot_root . .
umount -l .
cd "$folder"
exec "$@"
"""


class UnavailableError(Exception):
    """Why such a system cannot be had here, as a sentence."""


def make(suite: str, packages: Sequence[str], architectures: Sequence[str] = ()) -> Path:
    """A folder with a Debian system that has these packages: of an earlier call, or made now."""
    if os.geteuid() != 0:
        raise UnavailableError("only root can enter another Debian system")
    words = " ".join([*sorted(packages), *architectures])
    root = ROOTS / f"{suite}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    if root.exists():
        return root
    if not shutil.which("mmdebstrap"):
        raise UnavailableError("mmdebstrap is missing (apt-get install mmdebstrap)")
    print(f"== a Debian {suite} into {root.relative_to(ROOT)}: one to two minutes", flush=True)
    ROOTS.mkdir(parents=True, exist_ok=True)
    new = root.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    include = ["ca-certificates", *packages]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(include)}"]
    # A mirror may be a snapshot, whose list is past its date; what is made here only runs tests.
    command.append('--aptopt=Acquire::Check-Valid-Until "false"')
    if architectures:
        command.append(f"--architectures={','.join(architectures)}")
    done = subprocess.run(
        [*command, suite, str(new), mirror()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UnavailableError(
            f"mmdebstrap cannot make a Debian {suite} with these packages ({last})"
        )
    for place in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", place).exists():
            shutil.copy(Path("/", place), new / place)
    new.rename(root)
    return root


def mirror() -> str:
    """That of this machine's own sources."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise UnavailableError("apt-get names no mirror of Debian") from error
    for place in found:
        if place.rstrip("/").endswith("/debian"):
            return place
    raise UnavailableError("the sources of apt name no mirror of Debian")


def inside(root: Path, *command: object) -> list[str]:
    """The command, to be run in that system. This tree has the same path there."""
    enter = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", ENTER, "enter"]
    return [*enter, str(root), str(ROOT), *map(str, command)]


def main() -> None:
    words = sys.argv[1:]
    cut = words.index("--")
    try:
        root = make(words[0], words[1:cut])
    except UnavailableError as error:
        sys.exit(str(error))
    sys.exit(subprocess.run(inside(root, *words[cut + 1 :]), check=False).returncode)


if __name__ == "__main__":
    main()

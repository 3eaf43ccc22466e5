"""A Valkey for the tests, from the packages of this machine's Debian, into target/valkey.

python packaging/valkey.py

Prints the program to start. Nothing of the machine is changed: apt has lists and a cache of its own
there, and the packages are unpacked and not installed. The status is 1, with a sentence, where none
can be had.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from debian import UnavailableError, mirror

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "target" / "valkey"
PROGRAM = PLACE / "valkey-server"
# The server is a link to a program of the tools.
PACKAGES = ["valkey-server", "valkey-tools"]
# Where no redis-server has brought them.
LIBRARIES = ["libatomic1", "libjemalloc2", "liblzf1"]


def valkey() -> Path:
    """The program: of an earlier call, or made now."""
    if not starts():
        shutil.rmtree(PLACE, ignore_errors=True)
        (PLACE / "root").mkdir(parents=True)
        suite = codename()
        # A stable Debian that is older than Valkey has it in its backports.
        unpack_from([f"{suite}-backports", suite], PACKAGES)
        wrap()
        if not starts():
            unpack_from([suite], LIBRARIES)
        if not starts():
            raise UnavailableError("the valkey-server of the packages does not start here")
    return PROGRAM


def starts() -> bool:
    try:
        done = run(PROGRAM, "--version")
    except OSError:
        return False
    return done.returncode == 0 and "server" in done.stdout


def wrap() -> None:
    folders = sorted((PLACE / "root" / "usr" / "lib").glob("*-linux-gnu*"))
    folders = folders or [PLACE / "root" / "usr" / "lib" / f"{platform.machine()}-linux-gnu"]
    libraries = ":".join(map(str, folders))
    program = PLACE / "root" / "usr" / "bin" / "valkey-server"
    PROGRAM.write_text(
        "#!/bin/sh\n"
        f"export LD_LIBRARY_PATH={shlex.quote(libraries)}\n"
        f'exec {shlex.quote(str(program))} "$@"\n'
    )
    PROGRAM.chmod(0o755)


def unpack_from(suites: list[str], packages: list[str]) -> None:
    """Unpacks them from the first of the suites that has them."""
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise UnavailableError(f"{tool} is missing: this is no Debian")
    last = ""
    for suite in suites:
        place = PLACE / suite
        options = settings(place, f"deb {mirror()} {suite} main\n")
        for words in (["update"], ["download", *packages]):
            done = run("apt-get", "-q", *options, *words, folder=place)
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                break
        else:
            for package in place.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, PLACE / "root"], check=True)
            return
    raise UnavailableError(f"apt-get cannot get {' '.join(packages)} ({last})")


def settings(place: Path, source: str) -> list[str]:
    """Options by which apt has all that it keeps in a folder, and this source alone."""
    (place / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (place / "status").touch()
    (place / "sources.list").write_text(source)
    words = {
        "Dir::Etc::sourcelist": place / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": place / "lists",
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
        "APT::Sandbox::User": "root",
        # A mirror may be a snapshot, whose list is past its date; this only runs tests.
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
    }
    return [word for key, value in words.items() for word in ("-o", f"{key}={value}")]


def run(
    program: str | Path, *words: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
    )


def codename() -> str:
    """That of this machine's Debian."""
    try:
        word = platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError as error:
        raise UnavailableError("nothing says which Debian this is") from error
    if not word:
        raise UnavailableError("this Debian has no codename")
    return word


def main() -> None:
    try:
        print(valkey())
    except (UnavailableError, subprocess.SubprocessError) as error:
        sys.exit(f"no Valkey for the tests: {error}")


if __name__ == "__main__":
    main()

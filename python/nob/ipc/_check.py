"""What `Connection.check` says of this machine: it asks the command, which is installed beside."""

import errno
import json
import shutil
import subprocess
import sysconfig


def check() -> list[str]:
    """What `nob-ipc doctor` marks, in sentences."""
    scripts = sysconfig.get_path("scripts")
    program = shutil.which("nob-ipc", path=scripts) or shutil.which("nob-ipc")
    if program is None:
        message = f"the command is neither in {scripts} nor in the PATH; install the package anew"
        raise FileNotFoundError(errno.ENOENT, message, "nob-ipc")
    done = subprocess.run([program, "doctor", "--json"], stdout=subprocess.PIPE, check=True)
    return [_sentence(found) for found in json.loads(done.stdout) if found["hurts"]]


def _sentence(found: dict[str, str]) -> str:
    mend = f"; mend it: {found['mend']}" if found["mend"] else ""
    return f"{found['check']}: {found['value']}: {found['meaning']}{mend}"

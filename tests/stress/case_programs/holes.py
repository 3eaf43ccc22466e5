"""A semaphore's file with a hole, and no room: an error at opening, or it works; no bus error."""

import os
import subprocess
import sys

from nob.ipc import NamedSemaphore

mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", "/dev/shm"]
# Only where the namespace is our own, as the runner says.
if "--isolated" not in sys.argv or subprocess.run(mount, check=False).returncode != 0:
    print("skipped: nothing may be mounted")
    sys.exit(77)
for number, size in enumerate((32, 4096, 40_960)):
    with open(f"/dev/shm/sem.hole-{number}", "wb") as file:
        file.truncate(size)
with open("/dev/shm/fill", "wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        pass
for number in range(3):
    try:
        permits = NamedSemaphore(f"/hole-{number}")
    except OSError:
        continue
    permits.value  # noqa: B018
    permits.release()
    permits.acquire(timeout=0)
os.unlink("/dev/shm/fill")

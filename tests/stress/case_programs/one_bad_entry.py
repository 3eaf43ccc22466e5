"""Entries of /dev/shm that nobody can open do not spoil the list of the others."""

import fcntl
import os
import signal
import socket
import sys

from nob.ipc import Flags, NamedSemaphore, list_objects, reap

STEM = f"/dev/shm/nob-case-{os.getpid()}"
good = NamedSemaphore(None, 1, Flags.RAISE_IF_EXISTS)
signal.signal(signal.SIGIO, signal.SIG_IGN)
leases = [os.open(f"{STEM}-leased", os.O_RDWR | os.O_CREAT, 0o600)]
leases += [os.open(f"/dev/shm/sem.nob-case-{os.getpid()}-leased", os.O_RDWR | os.O_CREAT, 0o600)]
planted = [f"{STEM}-leased", f"/dev/shm/sem.nob-case-{os.getpid()}-leased"]
for lease in leases:
    os.ftruncate(lease, 32)
    fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.mkfifo(f"{STEM}-fifo")
os.symlink("/dev/zero", f"{STEM}-link")
os.mkdir(f"{STEM}-folder")
socket.socket(socket.AF_UNIX).bind(f"{STEM}-socket")
planted += [f"{STEM}-fifo", f"{STEM}-link", f"{STEM}-socket"]
if (pid := os.fork()) == 0:
    # A lease is broken by another process.
    for look in list_objects, reap:
        try:
            found = [each["name"] for each in look()]
        except OSError as error:
            os.write(2, f"{look.__name__}: {error}\n".encode())
            os._exit(1)
        if look is list_objects and good.name not in found:
            os._exit(2)
    os._exit(0)
_, status = os.waitpid(pid, 0)
for file in planted:
    os.unlink(file)
os.rmdir(f"{STEM}-folder")
if status:
    sys.exit(f"the list is spoilt: {os.waitstatus_to_exitcode(status)}")

"""After the package is imported again its flags and errors are still its own."""

import importlib
import sys

import nob.ipc

for name in [name for name in sys.modules if name.startswith("nob")]:
    del sys.modules[name]
again = importlib.import_module("nob.ipc")
for package in nob.ipc, again:
    for flags in nob.ipc.Flags, again.Flags:
        handle = package.NamedSemaphore(None, 0, flags.RAISE_IF_EXISTS)
        if handle.acquire(timeout=0):
            sys.exit("a permit of nobody")
        try:
            package.NamedSemaphore("", 0, flags.RAISE_IF_EXISTS)
            sys.exit("an empty name was taken")
        except ValueError:
            pass

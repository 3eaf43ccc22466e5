"""Too many mappings: the error names the limit, and everything goes on and goes."""

import os
import resource
import sys

from nob.ipc import Flags, NamedSharedMemory

with open("/proc/sys/vm/max_map_count") as file:
    limit = int(file.read())
if limit > 300_000:
    print(f"skipped: vm.max_map_count is {limit}")
    sys.exit(77)
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
if most < limit + 100:
    print(f"skipped: {most} descriptors are too few for as many mappings")
    sys.exit(77)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
segment = NamedSharedMemory(None, 4096, handle_existence=Flags.RAISE_IF_EXISTS)
kept = []
try:
    for _ in range(limit + 10):
        kept.append(segment.mmap())
    sys.exit("so many mappings, and no error")
except (OSError, MemoryError) as error:
    text = str(error)
path = "/dev/shm" + segment.name
del kept, segment
if "max_map_count" not in text:
    sys.exit(f"the error does not name vm.max_map_count: {text}")
if os.path.exists(path):
    sys.exit("the segment is left behind")

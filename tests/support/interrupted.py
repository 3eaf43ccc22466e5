"""What the processes have that get signals while they wait."""

HANDLES = """
semaphore, queue, channel = NamedSemaphore(name), NamedMessageQueue(name), NamedChannel(name)
lock, permits = NamedLock(name), NamedBoundedSemaphore(name)
full = NamedMessageQueue(name + "-full", 1, 8, handle_existence=CREATE)
full_channel = NamedChannel(name + "-full", 1, 8, handle_existence=CREATE)
assert full.send(b"x") and full_channel.send(b"x")
count = 0
def handler(*_):
    global count
    count += 1
def fail(*_):
    raise KeyError
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["nob.py[ipc]"]
#
# [tool.uv.sources]
# "nob.py" = { path = ".." }
# ///
"""Two processes talk through a queue: run `queue.py receive`, and `queue.py send` elsewhere."""

import sys

# A module of the standard library has this file's name: nothing is to be imported from here.
if not sys.flags.safe_path:
    del sys.path[0]

from nob import cli
from nob.ipc import Flags, NamedMessageQueue

MQ_NAME = "/test_queue"


@cli.grp()
def main(): ...


@cli.cmd(main)
@cli.arg("msg", default=None, help="Message to send in SEND phase")
def send(lg: cli.Logger, msg: str | None):
    """Send a message to an existing message queue."""
    with NamedMessageQueue(MQ_NAME, handle_existence=Flags.RAISE_IF_NOT_EXISTS) as mq:
        mq.send(msg or "Hello from POSIX IPC")
        lg.info("Message sent")


@cli.cmd(main)
def receive(lg: cli.Logger):
    """Create a message queue and receive a message from it."""
    with NamedMessageQueue(MQ_NAME, handle_existence=Flags.RAISE_IF_EXISTS) as mq:
        message, prio = mq.receive()
        lg.info("Received message: '%s' with priority %d", message.decode(), prio)


if __name__ == "__main__":
    main()

"""The command nob-ipc, as it is installed with the package."""

import signal
import sys

from nob.ipc._native import _command


def main() -> None:
    """Run the command with the arguments of this process."""
    # Python ignores it, and a program that `nob-ipc sem run` starts would inherit that.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    sys.exit(_command(["nob-ipc", *sys.argv[1:]]))

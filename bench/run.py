"""The benchmark: `python bench/run.py`, or `--quick` for three minutes. It needs Python 3.11 or
newer, cargo and a C compiler, and makes everything else itself under `.bench/`."""

import os
import sys

from harness import environments


def main() -> int:
    python = environments.harness()
    if os.path.realpath(sys.prefix) != os.path.realpath(python.parents[1]):
        os.execv(python, [str(python), __file__, *sys.argv[1:]])
    from harness.main import main as measure

    return measure(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

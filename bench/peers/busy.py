"""A busy loop, for as long as the parent lives. usage: busy.py PROCESSOR"""

import os
import sys

from forked import die_with_parent

die_with_parent()
os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    pass

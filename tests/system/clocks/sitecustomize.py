"""Python runs this at its start, if the folder is in PYTHONPATH: gives some programs a clock that a test can set.

TEST_CLOCKS is a folder with a file for each such program, named after a word of its command line. The file has what
libfaketime adds to the clock, such as +3600. LD_PRELOAD counts only when a program begins, so it begins once more.
"""

import os
import select
import sys
import time
from pathlib import Path
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


clocks = os.environ.get("TEST_CLOCKS", "")
word = next((one for one in sys.orig_argv if clocks and Path(clocks, Path(one).name).is_file()), "")
if word and "LD_PRELOAD" not in os.environ:
    os.environ["LD_PRELOAD"] = os.environ["TEST_CLOCK_LIBRARY"]
    os.environ["FAKETIME_TIMESTAMP_FILE"] = str(Path(clocks, Path(word).name))
    os.environ["FAKETIME_CACHE_DURATION"] = "1"  # seconds after which it reads the file again
    os.environ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"  # as when somebody sets a machine's clock
    os.execv(sys.executable, sys.orig_argv)
elif word:
    # libfaketime 0.9.10 answers EINVAL to clock_nanosleep, which time.sleep calls, if the monotonic clock is not faked.
    time.sleep = _sleep

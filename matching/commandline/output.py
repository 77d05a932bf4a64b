"""Writes to standard output and reports errors in one sentence."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase

from django.core.management import CommandError

_COULD_NOT_RUN = 2


@contextmanager
def flushed(output: TextIOBase) -> Iterator[TextIOBase]:
    """Standard output, flushed at the end. Raises CommandError if its reader has gone or the disk is full."""
    try:
        yield output
        output.flush()
    except OSError as error:
        # Python flushes the rest at exit, and would report the error a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(
            f"standard output cannot be written: {error.strerror}.", returncode=_COULD_NOT_RUN
        ) from error

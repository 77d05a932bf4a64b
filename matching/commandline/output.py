"""Standard output, written as a whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase

from django.core.management import CommandError

_COULD_NOT_RUN = 2


@contextmanager
def flushed(output: TextIOBase) -> Iterator[TextIOBase]:
    """Standard output, flushed at the end: CommandError where its reader went away or the disk is full."""
    try:
        yield output
        output.flush()
    except OSError as error:
        # Python flushes what is left when it ends, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(
            f"standard output cannot be written: {error.strerror}.", returncode=_COULD_NOT_RUN
        ) from error

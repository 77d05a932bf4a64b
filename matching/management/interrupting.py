"""Long work that a person may stop: SIGTERM does what Ctrl-C does, and both end in one word."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import CommandError

_INTERRUPTED = 130  # as shells say it: 128 and SIGINT


@contextmanager
def stoppable() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as error:
        raise CommandError("Stopped.", returncode=_INTERRUPTED) from error
    finally:
        signal.signal(signal.SIGTERM, before)

"""Long work that a person may stop: SIGTERM does what Ctrl-C does, and both end in one word. For the main thread."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def undisturbed() -> Iterator[None]:
    """What must not be left half done, as a process that was started and is not known yet: signals wait for its end."""
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for received in waiting:
        signal.raise_signal(received)


def stop_on_signals() -> threading.Event:
    """Set by the first SIGTERM or SIGINT, for a loop that looks at it."""
    # Ignored by whoever started this program, it would stay so: children would vanish, and nobody could learn how they
    # ended, or signal one without the risk that its number is another process's by now.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop

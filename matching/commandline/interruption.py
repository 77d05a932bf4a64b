"""SIGINT and SIGTERM end a command with one sentence, what was done so far in it, and exit code 128 + the signal.

For the main thread. Only the standard library is imported at the top: a process heeds signals before it loads the rest.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2


class Interrupted(KeyboardInterrupt):
    """`number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopFlag(threading.Event):
    """Set by the first signal; `number` is that signal's, 0 before."""

    number = 0

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        self.number = self.number or number
        self.set()


def sentence(number: int, so_far: str = "") -> str:
    name = signal.Signals(number).name
    return f"Stopped by {name}: {so_far}." if so_far else f"Stopped by {name}."


def exit_code(number: int) -> int:
    """As shells say it."""
    return 128 + number


@contextmanager
def whole_process(is_service: bool) -> Iterator[Callable[[], None]]:
    """For the whole of a program, its imports included. A service that is asked to stop ends with 0, and in silence.

    Gives what is to be called when everything is loaded: until then a signal ends the process at once, for there is
    nothing to clean up, and an exception could be lost in a callback of the import system. From then on it raises
    Interrupted.
    """

    def end_at_once(number: int, frame: FrameType | None) -> None:
        if is_service:
            os._exit(0)
        os.write(_STDERR, f"{sentence(number, 'it was starting and has done nothing')}\n".encode())
        os._exit(exit_code(number))

    def raise_from_now_on() -> None:
        _handle(_interrupt)

    _handle(end_at_once)
    try:
        yield raise_from_now_on
    except KeyboardInterrupt as error:
        _handle(signal.SIG_IGN)
        number = _number(error)
        if is_service:
            sys.exit(0)
        sys.stderr.write(f"{sentence(number)}\n")
        sys.exit(exit_code(number))
    finally:
        # What is left is the interpreter's own end: the work is done or was given up, and the exit code tells which.
        _handle(signal.SIG_IGN)


@contextmanager
def stoppable(so_far: Callable[[], str] = str) -> Iterator[None]:
    """Either signal ends the block with CommandError. `so_far` says what was done, without a full stop."""
    before = _handle(_interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        from django.core.management import CommandError

        number = _number(error)
        raise CommandError(sentence(number, so_far()), returncode=exit_code(number)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What must not be left half done, as a process that was started and is not known yet: signals wait for its end."""
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for received in waiting:
        signal.raise_signal(received)


def stop_on_signals() -> StopFlag:
    """Set by the first SIGTERM or SIGINT, for a loop that looks at it."""
    # Ignored by whoever started this program, it would stay so: children would vanish, and nobody could learn how they
    # ended, or signal one without the risk that its number is another process's by now.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = StopFlag()
    for number in SIGNALS:
        signal.signal(number, stop.receive)
    return stop


_Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _number(error: KeyboardInterrupt) -> int:
    return error.number if isinstance(error, Interrupted) else signal.SIGINT


def _handle(handler: _Handler) -> "dict[signal.Signals, _Handler | int | None]":
    """Sets it for both signals and gives the handlers before. One that is ignored stays ignored."""
    before: dict[signal.Signals, _Handler | int | None] = {}
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before

"""SIGINT and SIGTERM end a command with one sentence that says what was done so far, and exit code 128 + the signal.

Use it in the main thread. Only the standard library is imported at the top, so that signals are handled before a
process loads everything else.
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
    """`number` is the signal number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopFlag(threading.Event):
    """Set by the first signal. `number` is that signal's number, 0 before."""

    number = 0

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        self.number = self.number or number
        self.set()


def sentence(number: int, so_far: str = "") -> str:
    name = signal.Signals(number).name
    return f"Stopped by {name}: {so_far}." if so_far else f"Stopped by {name}."


def exit_code(number: int) -> int:
    """128 + the signal number, as shells report it."""
    return 128 + number


@contextmanager
def whole_process(is_service: bool) -> Iterator[Callable[[], None]]:
    """Handles signals for a whole program, including its imports. A service that is stopped ends silently with code 0.

    Yields a function to call when everything is loaded. Before that call a signal ends the process at once, because
    there is nothing to clean up and a callback of the import system could swallow an exception. After it a signal
    raises Interrupted.
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
        # Only the interpreter's shutdown is left, and the exit code is decided: a signal must not change it.
        _handle(signal.SIG_IGN)


@contextmanager
def stoppable(so_far: Callable[[], str] = str) -> Iterator[None]:
    """Either signal ends the block with CommandError. `so_far` returns what was done, without a full stop."""
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
def signals_deferred() -> Iterator[None]:
    """Defers signals until the block ends, for example until a started process is recorded."""
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
    """A flag that the first SIGTERM or SIGINT sets, for a loop that checks it."""
    # An ignored SIGCHLD is inherited from the parent process. Then the kernel reaps children at once: their exit codes
    # are lost, and a signal to a child could reach another process that got its number.
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
    """Sets the handler of both signals and returns the previous ones. A signal that is ignored stays ignored."""
    before: dict[signal.Signals, _Handler | int | None] = {}
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before

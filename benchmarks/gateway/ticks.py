"""Ticks at planned times, for clients that send at a fixed rate.

An event loop's own timers are no use for that: uvloop rounds them to whole milliseconds, so what is planned for the
middle of one is sent up to 0.5 ms early or late, and the delays that are measured are wrong by as much. On Linux ticks
come from a timer of the kernel, which the loop watches as a file.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NANOSECONDS = 1_000_000_000


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("first", _Time))


async def ticks(count: int, per_second: float, on_tick: Callable[[int, float], None]) -> None:
    """Calls `on_tick` with 0, 1, 2, … and the time for which it is planned, in seconds of `time.perf_counter`.

    Those that are late come at once, each with its own planned time.
    """
    began_s, called = time.perf_counter() + 1 / per_second, 0
    all_called = asyncio.Event()

    def call_due() -> None:
        nonlocal called
        due = min(count, int((time.perf_counter() - began_s) * per_second) + 1)
        while called < due:
            number, called = called, called + 1
            on_tick(number, began_s + number / per_second)
        if called == count:
            all_called.set()

    if sys.platform != "linux":
        while not all_called.is_set():
            await asyncio.sleep(max(0.0, began_s + called / per_second - time.perf_counter()))
            call_due()
        return
    timer = _kernel_timer(began_s, 1 / per_second)

    def on_readable() -> None:
        with suppress(BlockingIOError):
            os.read(timer, 8)
        call_due()

    loop = asyncio.get_running_loop()
    loop.add_reader(timer, on_readable)
    try:
        await all_called.wait()
    finally:
        loop.remove_reader(timer)
        os.close(timer)


def _kernel_timer(first_s: float, interval_s: float) -> int:
    """The descriptor of a timer, which becomes readable at these times. `perf_counter` is the monotonic clock."""
    system = ctypes.CDLL(None, use_errno=True)
    descriptor: int = system.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    wanted = _Timer(_time(interval_s), _time(first_s))
    if descriptor < 0 or system.timerfd_settime(descriptor, _ABSOLUTE, ctypes.byref(wanted), None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _time(seconds: float) -> _Time:
    whole, part = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
    return _Time(whole, part)

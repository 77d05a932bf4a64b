import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from benchmarks.gateway.ticks import ticks

PER_SECOND = 700.0  # so the planned times are no whole milliseconds


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_ticks_keep_their_planned_times_and_are_never_early(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    heard: list[tuple[int, float, float]] = []
    run(ticks(200, PER_SECOND, lambda number, planned_s: heard.append((number, planned_s, time.perf_counter()))))
    assert [number for number, _, _ in heard] == list(range(200))
    first_s = heard[0][1]
    for number, planned_s, heard_s in heard:
        assert planned_s == pytest.approx(first_s + number / PER_SECOND, abs=1e-9)
        assert heard_s >= planned_s - 1e-6


def test_ticks_that_are_late_all_come() -> None:
    heard: list[int] = []

    def delayed(number: int, planned_s: float) -> None:
        if not number:
            time.sleep(0.05)
        heard.append(number)

    uvloop.run(ticks(100, 10_000.0, delayed))
    assert heard == list(range(100))

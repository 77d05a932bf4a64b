"""Calls of the store that time out: before they were done, or after."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from settlement.stores.base import Store, StoreUnavailable
from tests.settlement.conftest import ON_SQL, Settle, tables, trail_text
from tests.settlement.durable.outages import CONTRACT
from tests.settlement.fakes import (
    FakeClock,
    fail_after_doing,
    fail_before_doing,
    feed_of,
    note_calls,
)
from tests.settlement.test_worker import BLOCKS, expected_rows

WRITES = ("append_blocks", "insert_batch")
READS = (
    "appended",
    "at_checkpoint",
    "dead_letters",
    "definitions",
    "epochs",
    "get_balances",
    "get_block",
    "get_candles",
    "get_trades_by_sequence_range",
    "identity",
    "projected",
    "projected_within",
    "projecting",
    "trading_day",
)
"""The other calls of a settlement whose store times out."""

Fail = Callable[..., list[str]]


@ON_SQL
def test_every_call_of_settlement_is_among_those_that_time_out_in_the_next_tests(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    called = set[str]()
    for name in CONTRACT:
        note_calls(store, name, partial(called.add, name))
    fail_before_doing(store, "append_blocks", times=5)
    settle(store, feed_of(clock, BLOCKS))
    assert called == {*READS, *WRITES}


@pytest.fixture
def settle_with_time_outs(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> Callable[[str, Fail], tuple[Any, Any]]:
    """The store times out five times in that call, and in the first one of an outage.

    Returns tables and trail, and those of a settlement without time-outs.
    """

    def run(method: str, fail: Fail) -> tuple[Any, Any]:
        undisturbed = expected_rows(store, settle, clock, folder)
        calls = [fail(store, name, times=5) for name in {method, "append_blocks"}]
        settle(store, feed_of(clock, BLOCKS))
        assert all(calls)
        return (tables(store), trail_text(folder)), undisturbed

    return run


@ON_SQL
@pytest.mark.parametrize("method", [*READS, *WRITES])
@pytest.mark.parametrize("fail", [fail_before_doing, fail_after_doing])
def test_a_time_out_of_any_call_changes_nothing(
    settle_with_time_outs: Callable[[str, Fail], tuple[Any, Any]], method: str, fail: Fail
) -> None:
    settled, undisturbed = settle_with_time_outs(method, fail)
    assert settled == undisturbed


@pytest.mark.parametrize("method", WRITES)
def test_a_time_out_of_a_write_that_a_store_has_done_changes_nothing(
    settle_with_time_outs: Callable[[str, Fail], tuple[Any, Any]], method: str
) -> None:
    settled, undisturbed = settle_with_time_outs(method, fail_after_doing)
    assert settled == undisturbed


def test_every_call_timing_out_after_it_was_done_changes_nothing(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    for method in CONTRACT:
        every_other_time(store, method)
    settle(store, feed_of(clock, BLOCKS, silent_after=10**4))
    assert (tables(store), trail_text(folder)) == undisturbed


def every_other_time(store: Store, name: str) -> None:
    """The store does what it is told, and says so every second time only."""
    method = getattr(store, name)
    turns: Iterator[bool] = iter([True, False] * 10**5)

    def call(*arguments: Any, **options: Any) -> Any:
        result = method(*arguments, **options)
        if next(turns):
            raise StoreUnavailable("The database timed out.")
        return result

    setattr(store, name, call)

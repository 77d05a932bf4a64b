"""An engine's clock that is far ahead: an alarm reports it, and blocks with such times are stored and shown."""

from pathlib import Path

import pytest

from matching.core.decimals import INT64_MAX
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS
from settlement import metrics
from settlement.alarms import rules
from settlement.audit import verify
from settlement.project.columns.trades import MINUTE_NS, day_of
from settlement.project.dead_letters import DeadLetters
from settlement.stores.base import Store
from settlement.worker_status import WorkerStatus
from tests.settlement.chains import Chain, deposit, order
from tests.settlement.conftest import ON_SQL, Settle, tables, trail_text
from tests.settlement.fakes import FakeClock, feed_of

LAST_NS = INT64_MAX
"""In the year 2262: no block can be dated later."""
DAY_NS = 86_400 * 10**9


def until_the_end_of_time() -> Chain:
    """Trades in the last days, the last of them at LAST_NS."""
    chain = Chain(start_ns=LAST_NS - 7 * DAY_NS, step_ns=DAY_NS).add(*DEFINITIONS)
    chain.add(deposit(1, "BTC", "10", "a"), deposit(2, "USD", "100000", "b"))
    for _ in range(4):
        chain.add(order(1, "sell", "20000", "0.5"), order(2, "buy", "20000", "0.5"))
    assert chain.blocks[-1].timestamp_ns == LAST_NS
    return chain


CHAIN = until_the_end_of_time()


def test_blocks_of_the_last_day_that_int64_knows_are_stored_and_their_trail_rotated(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, CHAIN.blocks, per_arrival=1), batch_trades=1)
    assert store.dead_letters() == []
    assert [candle.minute_ns for candle in store.candles("BTC-USD", 10)][-1] == LAST_NS // MINUTE_NS * MINUTE_NS
    last = store.newest_trades(1)[0]
    assert store.trading_day(day_of(LAST_NS)) == (day_of(LAST_NS), last.trade_id, last.trade_id)
    assert list(trail_text(folder)) == [
        "settled_trades-2262-04-08.csv",
        "settled_trades-2262-04-09.csv",
        "settled_trades-2262-04-10.csv",
        "settled_trades.csv",
    ]
    assert "2262-04-11T23:47:16.854775807Z" in trail_text(folder)["settled_trades.csv"]
    assert verify.verify(store, folder, Engine()).differences == []


def test_blocks_of_the_last_day_can_be_projected_again(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, CHAIN.blocks))
    before = tables(store)
    store.drop_projections()
    settle(store, feed_of(clock, []), until_block=len(CHAIN.blocks))
    assert tables(store) == before
    assert DeadLetters(store, folder, clock).unresolved() == []


@ON_SQL
@pytest.mark.parametrize(("ahead_s", "severity"), [(9, None), (60, "warning"), (7200, "critical")])
def test_a_block_that_is_dated_after_settlements_clock_is_an_alarm_until_the_clock_has_come_to_it(
    store: Store, settle: Settle, clock: FakeClock, ahead_s: int, severity: str | None
) -> None:
    chain, told = Chain(start_ns=clock.time_ns() + ahead_s * 10**9, step_ns=0).add(*DEFINITIONS), list[WorkerStatus]()
    settle(store, feed_of(clock, chain.blocks), report=told.append)
    known = [status.engine_clock_ahead_s for status in told if status.engine_clock_ahead_s is not None]
    assert known == sorted(known, reverse=True)
    assert ahead_s - 1 < known[0] <= ahead_s
    assert metrics.WORKER.get_sample_value("settlement_engine_clock_ahead_seconds") == known[-1]
    levels = dict(rules.levels(WorkerStatus(engine_clock_ahead_s=known[0])))
    signal = levels[rules.Kind.ENGINE_CLOCK_AHEAD]
    assert (signal and signal.severity) == severity


@ON_SQL
def test_a_block_that_is_dated_before_settlements_clock_is_none(store: Store, settle: Settle, clock: FakeClock) -> None:
    told = list[WorkerStatus]()
    settle(store, feed_of(clock, Chain(start_ns=1).add(*DEFINITIONS).blocks), report=told.append)
    assert {status.engine_clock_ahead_s for status in told} <= {None, 0.0}

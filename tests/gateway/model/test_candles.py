"""Candles of every interval against a slow reference that looks at all trades."""

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import pytest

from gateway.model.candles import CandleSeries, flat
from gateway.model.intervals import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Interval
from gateway.model.market import InstrumentMarket
from gateway.model.records import Candle, Ticker, Trade
from matching.core.codes import Side
from settlement.stores.base import Candle as StoredCandle

_QUOTE_UNIT = 3
_STEPS = (0, 400_000_000, SECOND_NS, 7 * SECOND_NS, MINUTE_NS, HOUR_NS, 11 * HOUR_NS, 2 * DAY_NS)


def ns(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * SECOND_NS  # type: ignore[arg-type, misc]


def random_trades(seed: int, count: int = 200) -> list[Trade]:
    random = Random(seed)
    time_ns, made = ns(2026, 1, 30, 23), []
    for number in range(1, count + 1):
        time_ns += random.choice(_STEPS)
        side = random.choice(tuple(Side))
        made.append(Trade(number, number, random.randint(90, 110), random.randint(1, 9), time_ns, side, 1, 2, number))
    return made


def filled(trades: Sequence[Trade], *, kept: int = 100_000) -> CandleSeries:
    series = CandleSeries(_QUOTE_UNIT, kept=kept)
    for trade in trades:
        series.add(trade)
    return series


def expected_candle(trades: Sequence[Trade], begin_ns: int, end_ns: int) -> Candle | None:
    """Of the trades from `begin_ns` to before `end_ns`; flat without one, None before the first."""
    within = [trade for trade in trades if begin_ns <= trade.time_ns < end_ns]
    if not within:
        before = [trade for trade in trades if trade.time_ns < begin_ns]
        return flat(begin_ns, end_ns - 1, before[-1].price) if before else None
    prices = [trade.price for trade in within]
    bought = [trade for trade in within if trade.taker_side is Side.BUY]
    return Candle(
        begin_ns,
        end_ns - 1,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(trade.quantity for trade in within),
        sum(trade.price * trade.quantity * _QUOTE_UNIT for trade in within),
        len(within),
        sum(trade.quantity for trade in bought),
        sum(trade.price * trade.quantity * _QUOTE_UNIT for trade in bought),
        within[0].trade_number,
        within[-1].trade_number,
    )


@pytest.mark.parametrize("interval", Interval)
@pytest.mark.parametrize("offset_ns", [0, 5 * HOUR_NS + 45 * MINUTE_NS, -8 * HOUR_NS])
def test_candles_are_those_of_all_trades(seed: int, interval: Interval, offset_ns: int) -> None:
    trades = random_trades(seed)
    now_ns = trades[-1].time_ns + 3 * SECOND_NS
    found = filled(trades).candles(interval, limit=1000, now_ns=now_ns, offset_ns=offset_ns)
    assert found
    assert found[-1].open_time_ns <= now_ns <= found[-1].close_time_ns
    for candle in found:
        local_ns = candle.open_time_ns + offset_ns
        assert interval.begin(local_ns) == local_ns
        assert interval.after(local_ns) - offset_ns == candle.close_time_ns + 1
        assert candle == expected_candle(trades, candle.open_time_ns, candle.close_time_ns + 1)


def test_candles_from_a_time_begin_with_the_first_whole_interval(seed: int) -> None:
    trades = random_trades(seed)
    series, start_ns = filled(trades), trades[100].time_ns
    found = series.candles(Interval.HOUR, limit=5, now_ns=trades[-1].time_ns, start_ns=start_ns)
    assert 0 <= found[0].open_time_ns - start_ns < HOUR_NS
    assert [candle.open_time_ns - found[0].open_time_ns for candle in found] == [at * HOUR_NS for at in range(5)]
    ended = series.candles(
        Interval.HOUR, limit=500, now_ns=trades[-1].time_ns, start_ns=start_ns, end_ns=found[2].open_time_ns
    )
    assert list(ended) == list(found[:3])


def test_candles_before_the_first_trade_do_not_exist() -> None:
    (trade,) = random_trades(1, 1)
    series = filled([trade])
    assert len(series.candles(Interval.HOUR, limit=10, now_ns=trade.time_ns)) == 1
    assert filled([]).candles(Interval.HOUR, limit=10, now_ns=trade.time_ns) == []


def test_the_newest_rows_are_kept(seed: int) -> None:
    trades = random_trades(seed)
    now_ns = trades[-1].time_ns
    found = filled(trades, kept=20).candles(Interval.MINUTE, limit=5, now_ns=now_ns)
    assert list(found) == list(filled(trades).candles(Interval.MINUTE, limit=5, now_ns=now_ns))


@pytest.mark.parametrize(
    ("interval", "within", "begin", "after"),
    [
        (Interval.MONTH, (2024, 2, 29, 12), (2024, 2, 1), (2024, 3, 1)),
        (Interval.MONTH, (2024, 12, 31, 23), (2024, 12, 1), (2025, 1, 1)),
        (Interval.WEEK, (2026, 11, 29, 23), (2026, 11, 23), (2026, 11, 30)),
        (Interval.WEEK, (2026, 11, 30), (2026, 11, 30), (2026, 12, 7)),
        (Interval.DAY, (2026, 11, 30, 8), (2026, 11, 30), (2026, 12, 1)),
        (Interval.HOURS_4, (2026, 11, 30, 9), (2026, 11, 30, 8), (2026, 11, 30, 12)),
    ],
)
def test_intervals_are_aligned_to_utc(
    interval: Interval, within: tuple[int, ...], begin: tuple[int, ...], after: tuple[int, ...]
) -> None:
    assert interval.begin(ns(*within)) == ns(*begin)
    assert interval.after(ns(*begin)) == ns(*after)


def market(trades: Sequence[Trade]) -> InstrumentMarket:
    made = InstrumentMarket(_QUOTE_UNIT, kept_trades=1000, kept_candles=1000)
    made.add(trades)
    return made


def test_a_ticker_sums_up_the_trades_of_its_minutes(seed: int) -> None:
    trades = random_trades(seed)
    end_ns = trades[150].time_ns
    found = market(trades[:151]).ticker(end_ns - DAY_NS, end_ns, last_price=1)
    expected = expected_candle(trades[:151], found.open_time_ns, end_ns + 1)
    before = [trade for trade in trades if trade.time_ns < found.open_time_ns]
    assert expected is not None
    assert found == Ticker(
        found.open_time_ns,
        end_ns,
        expected.open,
        expected.high,
        expected.low,
        expected.close,
        trades[150].quantity,
        before[-1].price if before else 0,
        expected.volume,
        expected.quote_volume,
        expected.first_trade_number,
        expected.last_trade_number,
        expected.trade_count,
    )
    assert 0 <= end_ns - DAY_NS - found.open_time_ns < MINUTE_NS


def test_a_ticker_without_a_trade_has_the_last_price() -> None:
    (trade,) = random_trades(1, 1)
    quiet = market([trade]).ticker(trade.time_ns + HOUR_NS, trade.time_ns + 2 * HOUR_NS, last_price=7)
    assert (quiet.open, quiet.last, quiet.previous_close, quiet.trade_count) == (
        trade.price,
        trade.price,
        trade.price,
        0,
    )
    unseen = market([]).ticker(trade.time_ns, trade.time_ns + HOUR_NS, last_price=7)
    assert (unseen.open, unseen.last, unseen.previous_close) == (7, 7, 0)


def stored_minutes(trades: Sequence[Trade]) -> list[StoredCandle]:
    """As settlement writes them."""
    found = []
    for begin_ns in sorted({trade.time_ns - trade.time_ns % MINUTE_NS for trade in trades}):
        candle = expected_candle(trades, begin_ns, begin_ns + MINUTE_NS)
        assert candle is not None
        counts = candle.trade_count, candle.last_trade_number
        paid = candle.quote_volume, candle.taker_buy_volume, candle.taker_buy_quote_volume
        found.append(StoredCandle("BTC-USD", begin_ns, *candle[2:7], *counts, *paid))
    return found


@pytest.mark.parametrize("known", [60, 150])
def test_what_the_store_has_is_put_before_what_is_there(seed: int, known: int) -> None:
    """`known`: trades that the store gives one by one; of those before it gives minutes."""
    trades = random_trades(seed)
    stored, since = trades[:150], trades[150:]
    found = market(since)
    found.extend_back(stored_minutes(stored), stored[-known:])
    whole = market(trades)
    now_ns = trades[-1].time_ns
    for interval in (Interval.MINUTE, Interval.HOUR, Interval.DAY, Interval.MONTH):
        pairs = zip(
            found.candles.candles(interval, limit=1000, now_ns=now_ns),
            whole.candles.candles(interval, limit=1000, now_ns=now_ns),
            strict=True,
        )
        for one, expected in pairs:
            assert one == expected
    if known == len(stored):
        assert list(found.candles.candles(Interval.HOUR, limit=50, now_ns=now_ns)) == list(
            whole.candles.candles(Interval.HOUR, limit=50, now_ns=now_ns)
        )


def test_a_minute_of_the_store_without_what_was_paid_is_estimated() -> None:
    trades = random_trades(3)[:150]
    stored = [one._replace(quote_volume=None) for one in stored_minutes(trades)]
    estimated, exact = market(()), market(())
    estimated.extend_back(stored, ())
    exact.extend_back(stored_minutes(trades), ())
    now_ns = trades[-1].time_ns
    (one,) = estimated.candles.candles(Interval.MONTH, limit=1, now_ns=now_ns)
    (other,) = exact.candles.candles(Interval.MONTH, limit=1, now_ns=now_ns)
    assert (one.volume, one.trade_count) == (other.volume, other.trade_count)
    assert one.quote_volume != other.quote_volume
    assert one.low <= one.quote_volume / one.volume / _QUOTE_UNIT <= one.high

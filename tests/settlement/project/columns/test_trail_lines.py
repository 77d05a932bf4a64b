"""The lines that the compiled loop writes are those of `lines_of_trades`, character by character."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matching.core.codes import CommandKind
from matching.core.registry import Registry, canonical
from matching.workloads.btc_usd import instrument
from settlement.project.columns.orders import SIDES
from settlement.project.trail import lines_of_trades, texts_by_day
from settlement.stores.base import Trade
from settlement.stores.base.columns import ABSENT, ColumnTable, Numbers, OptionalNumbers, Words

MOST = (1 << 63) - 1
DAY_NS = 86_400 * 10**9
ASSETS = {"AAA": 18, "BBB": 0, "C.1-X": 8, "D": 4}
INSTRUMENTS = (  # base, quote, tick, lot
    ("AAA", "BBB", "1", "1"),
    ("C.1-X", "D", "0.25", "0.08"),
    ("C.1-X", "AAA", "0.0000000001", "0.00000001"),
    ("BBB", "D", "2500", "1000"),
)


def registry() -> Registry:
    made = Registry()
    for symbol, decimals in ASSETS.items():
        made.apply(CommandKind.ASSET, canonical({"command": "asset", "symbol": symbol, "decimals": decimals}))
    for base, quote, tick, lot in INSTRUMENTS:
        defined = {**instrument(base, quote), "tick_size": tick, "lot_size": lot, "min_quantity": lot}
        made.apply(CommandKind.INSTRUMENT, canonical(defined))
    return made


REGISTRY = registry()
SYMBOLS = list(REGISTRY.instrument_by_symbol)
COUNTS = st.integers(-(10**6), 10**6) | st.integers(-MOST, MOST) | st.sampled_from([0, 1, 10, 100, 10**15])
IDS = st.integers(0, MOST)
TRADES = st.lists(
    st.builds(
        Trade,
        trade_id=IDS,
        block_number=IDS,
        timestamp_ns=st.integers(0, 3 * DAY_NS) | st.sampled_from([0, DAY_NS - 1, DAY_NS]),
        symbol=st.sampled_from(SYMBOLS),
        price=COUNTS,
        quantity=COUNTS,
        taker_side=st.sampled_from(SIDES),
        maker_order_id=IDS,
        taker_order_id=IDS,
        buyer=IDS,
        seller=IDS,
        buyer_fee=COUNTS,
        seller_fee=COUNTS,
    ),
    max_size=8,
)


def columns_of(trades: list[Trade]) -> ColumnTable[Trade]:
    codes: dict[str, Any] = {"symbol": SYMBOLS, "taker_side": list(SIDES)}
    columns: dict[str, Any] = {}
    for name in Trade._fields[:-1]:
        values = [getattr(trade, name) for trade in trades]
        if name in codes:
            columns[name] = Words(np.array([codes[name].index(value) for value in values], np.uint32), codes[name])
        else:
            columns[name] = Numbers(np.array(values, np.int64))
    return ColumnTable(Trade, **columns, trade_number=OptionalNumbers(np.full(len(trades), ABSENT)))


@given(TRADES)
def test_they_are_those_of_each_trade_in_turn(trades: list[Trade]) -> None:
    text = b"".join(text for _, text in texts_by_day(columns_of(trades), REGISTRY))
    assert text.decode().splitlines() == lines_of_trades(trades, REGISTRY)


@given(TRADES)
def test_days_are_apart_and_rows_give_the_same(trades: list[Trade]) -> None:
    found = list(texts_by_day(columns_of(trades), REGISTRY))
    assert found == list(texts_by_day(trades, REGISTRY))
    days = [{trade.timestamp_ns // DAY_NS for trade in trades[places]} for places, _ in found]
    assert all(len(of) == 1 for of in days)
    assert all(before != after for before, after in pairwise(days))
    assert [trade for places, _ in found for trade in trades[places]] == trades

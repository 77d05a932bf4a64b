"""A batch with a row for each table, and the complete contents of a small store."""

from matching.core.codes import CommandKind
from settlement.stores.base import Definition, Projection, Store
from tests.settlement.rows import (
    DAY,
    MOST,
    balance,
    candle,
    day,
    entry,
    order,
    projection,
    trade,
)


def full(number: int = 1) -> Projection:
    return projection(
        number,
        trades=[trade(3), trade(5)],
        orders=[order(1), order(2, status="filled")],
        ledger_events=[entry(3), entry(3, 1), entry(5)],
        balances=[balance(1), balance(2, "USD")],
        candles=[candle(1)],
        days=[day(3, 5)],
        definitions=[Definition(1, CommandKind.ASSET, '{"command":"asset"}')],
    )


def everything(store: Store) -> list[object]:
    """The complete contents of a small store, read through the store interface."""
    return [
        store.appended(),
        store.projected(),
        list(store.blocks(1)),
        store.get_trades_by_sequence_range(0, MOST, 100),
        store.get_orders_by_sequence_range(0, MOST, 100),
        store.get_ledger_events(0, MOST >> 5),
        list(store.balances()),
        store.candles("BTC-USD", 100),
        store.trading_day(DAY),
        store.definitions(),
    ]

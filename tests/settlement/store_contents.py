"""A batch with a row for each table, and the complete contents of a small store."""

from typing import Any

from matching.core.codes import CommandKind
from settlement.stores.base import Definition, Projection, Store
from tests.settlement.rows import (
    DAY,
    MOST,
    account_fees,
    account_status,
    balance,
    candle,
    day,
    entry,
    order,
    projection,
    trade,
    transfer,
)

WAITING: dict[str, Any] = {
    "status": "waiting",
    "order_type": "take_profit_limit",
    "trigger_price": MOST,
    "visible_quantity": 7,
    "order_list_id": 2,
    "triggered_at_ns": MOST,
}


def full(number: int = 1) -> Projection:
    return projection(
        number,
        trades=[trade(3), trade(5)],
        orders=[order(1), order(2, status="filled"), order(3, **WAITING)],
        ledger_events=[entry(3), entry(3, 1), entry(5)],
        balances=[balance(1), balance(2, "USD")],
        transfers=[transfer(3), transfer(5, kind="withdrawal")],
        candles=[candle(1)],
        days=[day(3, 5)],
        settings=[account_fees(1, (0, 999_999)), account_status(1), account_fees(700, None, symbol="")],
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
        list(store.account_settings()),
        store.get_transfers_by_sequence_range(0, MOST),
    ]

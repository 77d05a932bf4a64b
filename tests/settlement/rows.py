"""Rows for store tests, created in one line each."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from matching.core.epochs import Epoch
from settlement.stores.base import (
    AccountSetting,
    Balance,
    Candle,
    Checkpoint,
    DeadLetter,
    LedgerEvent,
    Order,
    Projection,
    StoredBlock,
    Trade,
    TradingDay,
    Transfer,
)

MOST = 2**63 - 1
DAY = date(2026, 1, 31)


def block(number: int, events: int = 10, **more: Any) -> StoredBlock:
    """A block of ten events by default: block 2 has events 11 to 20."""
    row = StoredBlock(
        number=number,
        hash=2**64 - number,
        prev_hash=2**64 - number + 1 if number > 1 else 0,
        epoch=1,
        timestamp_ns=number * 10**9,
        first_command_sequence=5 * number - 4,
        last_command_sequence=5 * number,
        first_event_sequence=10 * number - 9,
        last_event_sequence=10 * number - 10 + events,
        trade_count=3,
        data=b"block \x00\xff" + bytes([number]),
    )
    return row._replace(**more)


def trade(trade_id: int, buyer: int = 1, seller: int = 2, symbol: str = "BTC-USD", **more: Any) -> Trade:
    row = Trade(trade_id, trade_id // 10 + 1, 10**9, symbol, 2_000_000, 5000, "buy", 6, 7, buyer, seller, 1, 2, 3)
    return row._replace(**more)


def order(order_id: int, account: int = 1, symbol: str = "BTC-USD", status: str = "open", **more: Any) -> Order:
    row = Order(
        order_id=order_id,
        account=account,
        symbol=symbol,
        side="sell",
        order_type="limit",
        time_in_force="gtc",
        post_only=True,
        self_trade_prevention="expire_taker",
        client_order_id=None,
        price=2_000_000,
        quantity=5000,
        quote_quantity=None,
        filled=0,
        remaining=5000,
        status=status,
        reason=None,
        placed_at_ns=1,
        updated_at_ns=1,
        updated_sequence=order_id,
    )
    return row._replace(**more)


def entry(event_sequence: int, leg: int = 0, account: int = 1, asset: str = "BTC", **more: Any) -> LedgerEvent:
    row = LedgerEvent(event_sequence, leg, 1, 10**9, account, asset, "lock", -5, 5, MOST // 2, 5)
    return row._replace(**more)


def transfer(event_sequence: int, account: int = 1, reference: str = "tx-1", **more: Any) -> Transfer:
    row = Transfer(event_sequence, 1, 10**9, account, "BTC", "deposit", MOST, reference)
    return row._replace(**more)


def balance(account: int, asset: str = "BTC", available: int = 10, sequence: int = 1) -> Balance:
    return Balance(account, asset, available, 5, sequence)


def account_status(account: int, status: str = "frozen", sequence: int = 1) -> AccountSetting:
    return AccountSetting(account, "status", "", status, None, None, sequence)


def account_fees(
    account: int, fees: tuple[int, int] | None, symbol: str = "BTC-USD", sequence: int = 1
) -> AccountSetting:
    """`fees`: maker's and taker's; None: taken away."""
    maker_fee, taker_fee = fees or (None, None)
    return AccountSetting(account, "fees", symbol, None, maker_fee, taker_fee, sequence)


def candle(minute: int, last_trade_id: int = 8, symbol: str = "BTC-USD", close: int = 3) -> Candle:
    return Candle(symbol, minute * 60 * 10**9, 1, 4, 1, close, 100, 7, last_trade_id, 250, 40, 90)


def day(first: int, last: int, of: date = DAY) -> TradingDay:
    return TradingDay(of, first, last)


def letter(number: int, **more: Any) -> DeadLetter:
    row = DeadLetter(number, number, "The database rejects the statement.", 1, 10, 10, None, '{"rows":[]}')
    return row._replace(**more)


def epoch(number: int, first_block: int = 1, prev_hash: int = 0, **more: Any) -> Epoch:
    """An epoch of an engine on port `number` and the two next ones."""
    commands, blocks, retransmission = (f"tcp://127.0.0.1:{100 * number + place}" for place in range(3))
    row = Epoch(number, first_block, prev_hash, f"engine-{number}", commands, blocks, retransmission, 10**18)
    return row._replace(**more)


def projection(number: int = 1, **rows: Sequence[Any]) -> Projection:
    tables = [name for name in Projection._fields[1:] if name not in Projection._field_defaults]
    nothing: dict[str, Any] = dict.fromkeys(tables, ())
    return Projection(Checkpoint(number, 2**64 - number, 1), **{**nothing, **rows})

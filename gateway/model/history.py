"""What the store knows and the model does not: orders and fills from before the model began, or that it forgot.

The store's functions block, so they run in threads. Settlement may be behind the engine: then an answer lacks the
newest rows, which the model has.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from gateway.model.instruments import Instrument
from gateway.model.order_log import UNKNOWN_QUOTE
from gateway.model.queries import OlderUnavailable
from gateway.model.records import Fill, Order, OrderStatus
from gateway.model.records import Trade as PublicTrade
from gateway.model.stored_ranges import NO_END, Rows, Span
from matching.core.codes import OrderType, Reason, SelfTradePrevention, Side, TimeInForce, name_of
from settlement.stores.base import Candle as StoredCandle
from settlement.stores.base import Order as StoredOrder
from settlement.stores.base import Store, StoreError, Trade

_SIDES = {name_of(side): side for side in Side}
_TYPES = {name_of(kind): kind for kind in OrderType}
_TIMES_IN_FORCE = {name_of(one): one for one in TimeInForce}
_PREVENTIONS = {name_of(one): one for one in SelfTradePrevention}
_REASONS = {name_of(reason): reason for reason in Reason}
_SEARCHED = 10_000
"""Trades of an account in an instrument among which those of one order are looked for."""
_SAME_NAME = 100
"""Orders with one client order id, in all instruments, of which one may be wanted."""
_Answer = TypeVar("_Answer")


class History(Protocol):
    """Every method raises OlderUnavailable."""

    async def orders_by_id(self, order_ids: Sequence[int]) -> Mapping[int, StoredOrder]: ...

    async def orders_from(
        self, account: int, instrument: Instrument, before: int, span: Span, limit: int
    ) -> list[Order]:
        """The oldest ones of a span with an id below `before`, oldest first."""

    async def orders_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Order]:
        """The newest ones with an id below `before`, placed until `end_ns`, newest first."""

    async def order_named(self, account: int, instrument: Instrument, name: str) -> Order | None:
        """The newest one with this client order id, also a closed one."""

    async def fills_from(self, account: int, instrument: Instrument, before: int, span: Span, limit: int) -> list[Fill]:
        """Those of the oldest trades of a span with an event sequence below `before`, oldest first.

        `limit` trades: of one with itself an account has two fills.
        """

    async def fills_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Fill]:
        """Those of the newest `limit` trades until `end_ns` with an event sequence below `before`, newest first."""

    async def fills_of_order(self, order_id: int, account: int, instrument: Instrument, before: int) -> list[Fill]:
        """Those of trades with an event sequence below `before`, oldest first."""

    async def trades_before(self, instrument: Instrument, before: int, limit: int) -> list[PublicTrade]:
        """The newest ones with an event sequence below `before`, oldest first."""

    async def minutes(self, instrument: Instrument, limit: int) -> Sequence[StoredCandle]:
        """The newest minutes with a trade, oldest first."""


class NoHistory:
    """For a gateway without a store."""

    async def orders_by_id(self, order_ids: Sequence[int]) -> Mapping[int, StoredOrder]:
        return {}

    async def orders_from(
        self, account: int, instrument: Instrument, before: int, span: Span, limit: int
    ) -> list[Order]:
        return []

    async def orders_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Order]:
        return []

    async def order_named(self, account: int, instrument: Instrument, name: str) -> Order | None:
        return None

    async def fills_from(self, account: int, instrument: Instrument, before: int, span: Span, limit: int) -> list[Fill]:
        return []

    async def fills_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Fill]:
        return []

    async def fills_of_order(self, order_id: int, account: int, instrument: Instrument, before: int) -> list[Fill]:
        return []

    async def trades_before(self, instrument: Instrument, before: int, limit: int) -> list[PublicTrade]:
        return []

    async def minutes(self, instrument: Instrument, limit: int) -> Sequence[StoredCandle]:
        return ()


class StoreHistory:
    """Reads the store in `executor`'s threads."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    async def orders_by_id(self, order_ids: Sequence[int]) -> Mapping[int, StoredOrder]:
        rows = await self._ask(lambda: self._store.get_orders(order_ids))
        return {row.order_id: row for row in rows}

    async def orders_from(
        self, account: int, instrument: Instrument, before: int, span: Span, limit: int
    ) -> list[Order]:
        rows = self._rows(account, instrument, before)
        return [order_of(row, instrument) for row in await self._ask(lambda: rows.orders_from(span, limit))]

    async def orders_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Order]:
        rows = self._rows(account, instrument, before)
        return [order_of(row, instrument) for row in await self._ask(lambda: rows.newest_orders(end_ns, limit))]

    async def order_named(self, account: int, instrument: Instrument, name: str) -> Order | None:
        rows = await self._ask(lambda: self._store.get_orders_by_client_order_id(account, name, _SAME_NAME))
        found = (row for row in rows if row.symbol == instrument.engine_symbol)
        return next((order_of(row, instrument) for row in found), None)

    async def fills_from(self, account: int, instrument: Instrument, before: int, span: Span, limit: int) -> list[Fill]:
        rows = self._rows(account, instrument, before)
        trades = await self._ask(lambda: rows.trades_from(span, limit))
        return [fill for row in trades for fill in fills_of(row, account, instrument)]

    async def fills_before(
        self, account: int, instrument: Instrument, before: int, limit: int, *, end_ns: int = NO_END
    ) -> list[Fill]:
        rows = self._rows(account, instrument, before)
        trades = await self._ask(lambda: rows.newest_trades(end_ns, limit))
        return [fill for row in trades for fill in fills_of(row, account, instrument)]

    async def fills_of_order(self, order_id: int, account: int, instrument: Instrument, before: int) -> list[Fill]:
        rows = self._rows(account, instrument, before)

        def read() -> list[Trade]:
            return [
                one for order in self._store.get_orders([order_id]) for one in rows.trades_of_order(order, _SEARCHED)
            ]

        found = [fill for row in await self._ask(read) for fill in fills_of(row, account, instrument)]
        return [fill for fill in found if fill.order_id == order_id]

    async def trades_before(self, instrument: Instrument, before: int, limit: int) -> list[PublicTrade]:
        symbol = instrument.engine_symbol
        rows = await self._ask(lambda: self._store.newest_trades(limit, before=before, symbol=symbol))
        return [_public(row) for row in reversed(rows) if row.trade_number is not None]

    async def minutes(self, instrument: Instrument, limit: int) -> Sequence[StoredCandle]:
        return await self._ask(lambda: self._store.candles(instrument.engine_symbol, limit))

    def _rows(self, account: int, instrument: Instrument, before: int) -> Rows:
        return Rows(self._store, account, instrument.engine_symbol, before)

    async def _ask(self, read: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, read)
        except StoreError as error:
            raise OlderUnavailable(str(error)) from error


def order_of(row: StoredOrder, instrument: Instrument) -> Order:
    """A stored order. The store has neither what it paid nor which order it met."""
    status = OrderStatus(row.status)
    placed = row.placed_at_ns
    return Order(
        order_id=row.order_id,
        account=row.account,
        instrument_id=instrument.id,
        client_order_id=row.client_order_id or "",
        side=_SIDES[row.side],
        order_type=_TYPES[row.order_type],
        time_in_force=_TIMES_IN_FORCE[row.time_in_force],
        post_only=row.post_only,
        self_trade_prevention=_PREVENTIONS[row.self_trade_prevention],
        price=row.price,
        trigger_price=row.trigger_price,
        quantity=row.quantity,
        quote_quantity=row.quote_quantity,
        visible_quantity=row.visible_quantity,
        order_list_id=row.order_list_id,
        filled=row.filled,
        filled_quote=UNKNOWN_QUOTE if row.filled else 0,
        status=status,
        reason=_REASONS[row.reason] if row.reason else Reason.NONE,
        met_order_id=None,
        prevented_quantity=0,
        placed_at_ns=placed,
        working_at_ns=placed if row.trigger_price is None else row.triggered_at_ns,
        updated_at_ns=row.updated_at_ns,
        updated_sequence=row.updated_sequence,
    )


def fills_of(row: Trade, account: int, instrument: Instrument) -> Iterable[Fill]:
    """The account's sides of a stored trade: both, if it traded with itself."""
    quote = row.price * row.quantity * instrument.engine.quote_unit
    for side, who, fee in ((Side.BUY, row.buyer, row.buyer_fee), (Side.SELL, row.seller, row.seller_fee)):
        if who != account:
            continue
        is_maker = side is not _SIDES[row.taker_side]
        yield Fill(
            row.trade_number or 0,
            row.trade_id,
            row.maker_order_id if is_maker else row.taker_order_id,
            None,
            account,
            instrument.id,
            row.price,
            row.quantity,
            quote,
            fee,
            side,
            is_maker,
            row.timestamp_ns,
        )


def _public(row: Trade) -> PublicTrade:
    return PublicTrade(
        row.trade_number or 0,
        row.trade_id,
        row.price,
        row.quantity,
        row.timestamp_ns,
        _SIDES[row.taker_side],
        row.maker_order_id,
        row.taker_order_id,
        -row.timestamp_ns,  # the store does not have the command: trades of one block and taker count as of one
    )

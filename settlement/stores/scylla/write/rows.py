"""A projection as packed rows, by partition."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from struct import Struct

from settlement.stores.base import LedgerEvent, Order, Projection, Trade
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import (
    FALSE,
    NULL,
    TRUE,
    UNSET,
    Outbox,
    head,
    long,
    longs,
    routing_key,
    text,
    word,
)
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import OPEN_ORDERS, ORDERS, TRADES, Entries, date_value, int_value
from settlement.stores.scylla.keys import BUCKET, HOLDERS, PART, date_of, month_of, stamp

_TRADE = longs(11)
_ORDER = longs(6)
_LEDGER = Struct(">iqiiiqiqiqiqiqiq")
_BALANCE = longs(4)
_CANDLE = longs(8)


class Rows:
    """Collects the rows of one batch and what they need in the indexes."""

    def __init__(self, session: Session, shard: int, generation: int, heads: dict[str, bytes]) -> None:
        """`heads` is kept from one batch to the next."""
        self.outbox = Outbox()
        self.entries = Entries()
        self._session = session
        self._shard = int_value(shard)
        self._generation = generation
        self._heads = heads
        self._accounts: dict[tuple[int, int, int], tuple[bytes, bytes]] = {}

    def add(self, projection: Projection, placed_before: set[int] | None, is_reset: bool = False) -> None:
        """`placed_before`: the orders that were there before the batch; None: not known.

        `is_reset`: columns that have been null before are null again.
        """
        self._add_trades(projection.trades)
        self._add_orders(projection.orders, placed_before, NULL if is_reset else UNSET)
        self._add_ledger_events(projection.ledger_events)
        self._add_balances(projection)
        self._add_candles(projection)
        self._add_days_and_definitions(projection)

    def _add_trades(self, trades: Sequence[Trade]) -> None:
        top, top_account = self._head(cql.PUT_TRADE), self._head(cql.PUT_ACCOUNT_TRADE)
        add, pack = self.outbox.add, _TRADE.pack
        place: tuple[date, int] | None = None
        for trade in trades:
            number, block, at_ns, symbol, price, quantity, side, maker, taker, buyer, seller, fee, other_fee = trade
            time = self._time(number)
            on = date_of(at_ns)
            if place != (on, number // BUCKET):
                place = (on, number // BUCKET)
                day, bucket = date_value(on), long(place[1])
                key, where = routing_key(self._shard[4:], day[4:], bucket[4:]), top + self._shard + day + bucket
            values = pack(
                8, number, 8, block, 8, at_ns, 8, price, 8, quantity, 8, maker, 8, taker, 8, buyer, 8, seller, 8, fee,
                8, other_fee,
            )  # fmt: skip
            add(key, b"".join((where, values, word(symbol), word(side), time)))
            self.entries.trade(number, on, symbol)
            last = long(number) + time
            month, part = month_of(at_ns), number // PART
            for account in {buyer, seller}:
                self.entries.account_parts.add((account, TRADES, "", month, part))
                key_of_account, place_of_account = self._account(account, month, part)
                add(key_of_account, top_account + place_of_account + last)

    def _add_orders(self, orders: Sequence[Order], placed_before: set[int] | None, nothing: bytes) -> None:
        top, top_account = self._head(cql.PUT_ORDER), self._head(cql.PUT_ACCOUNT_ORDER)
        top_open, top_closed = self._head(cql.PUT_OPEN_ORDER), self._head(cql.DROP_OPEN_ORDER)
        add, pack = self.outbox.add, _ORDER.pack
        bucket_now, key, where = None, b"", b""
        for order in orders:
            number = order.order_id
            if bucket_now != number // BUCKET:
                bucket_now = number // BUCKET
                bucket = long(bucket_now)
                key, where = routing_key(self._shard[4:], bucket[4:]), self._shard + bucket
            time, order_id = self._time(order.updated_sequence), long(number)
            add(key, b"".join((top, where, order_id, pack(
                8, order.account, 8, order.filled, 8, order.remaining, 8, order.placed_at_ns, 8, order.updated_at_ns,
                8, order.updated_sequence,
            ), _order_values(order, nothing), time)))  # fmt: skip
            is_new = placed_before is None or number not in placed_before
            is_old = placed_before is None or number in placed_before
            if is_new:
                month, part = month_of(order.placed_at_ns), number // PART
                self.entries.order(number, order.symbol)
                self.entries.account_parts.add((order.account, ORDERS, "", month, part))
                key_of_account, place_of_account = self._account(order.account, month, part)
                add(key_of_account, top_account + place_of_account + order_id + time)
            if order.status == "open" and is_new:
                self.entries.children.add((OPEN_ORDERS, bucket_now))
                add(key, top_open + where + order_id + time)
            elif order.status != "open" and is_old:
                add(key, top_closed + time + where + order_id)

    def _add_ledger_events(self, events: Sequence[LedgerEvent]) -> None:
        top = self._head(cql.PUT_LEDGER_EVENT)
        add, pack = self.outbox.add, _LEDGER.pack
        noted: set[tuple[int, int, str, int]] = set()
        for number, leg, block, at_ns, account, asset, kind, available, locked, available_after, locked_after in events:
            month = month_of(at_ns)
            noted.add((number // BUCKET, account, asset, month))
            key, where = self._account(account, month, number // PART)
            values = pack(
                8, number, 4, leg, 8, block, 8, at_ns, 8, available, 8, locked, 8, available_after, 8, locked_after
            )
            add(key, b"".join((top, where, values, word(asset), word(kind), self._time(number))))
        for bucket, account, asset, month in noted:
            self.entries.ledger(bucket, account, asset, month)

    def _add_balances(self, projection: Projection) -> None:
        top = self._head(cql.PUT_BALANCE) + self._shard
        for account, asset, available, locked, sequence in projection.balances:
            bucket = long(account // HOLDERS)
            self.entries.children.add(("accounts", account))
            values = _BALANCE.pack(8, account, 8, available, 8, locked, 8, sequence)
            row = top + bucket + values + word(asset) + self._time(sequence)
            self.outbox.add(routing_key(self._shard[4:], bucket[4:]), row)

    def _add_candles(self, projection: Projection) -> None:
        top = self._head(cql.PUT_CANDLE) + self._shard
        for symbol, *numbers in projection.candles:
            month = month_of(numbers[0])
            self.entries.candle_months.add((symbol, month))
            where = word(symbol), int_value(month)
            values = _CANDLE.pack(*(part for number in numbers for part in (8, number)))
            row = top + b"".join(where) + values + self._time(numbers[-1])
            self.outbox.add(routing_key(self._shard[4:], where[0][4:], where[1][4:]), row)

    def _add_days_and_definitions(self, projection: Projection) -> None:
        key = routing_key(self._shard[4:])
        for day, first, last in projection.days:
            values = date_value(day) + long(first) + long(last) + self._time(last)
            self.outbox.add(key, self._head(cql.PUT_TRADING_DAY) + self._shard + values)
        for number, kind, words in projection.definitions:
            values = long(number) + int_value(kind) + text(words) + self._time(number)
            self.outbox.add(key, self._head(cql.PUT_DEFINITION) + self._shard + values)

    def _account(self, account: int, month: int, part: int) -> tuple[bytes, bytes]:
        """Routing key and first values of the rows in one partition of an account."""
        found = self._accounts.get((account, month, part))
        if found is None:
            values = self._shard, long(account), int_value(month), long(part)
            found = routing_key(*(value[4:] for value in values)), b"".join(values)
            self._accounts[account, month, part] = found
        return found

    def _time(self, sequence: int) -> bytes:
        return long(stamp(self._generation, sequence))

    def _head(self, statement: str) -> bytes:
        found = self._heads.get(statement)
        if found is None:
            found = self._heads[statement] = head(self._session.query_id(statement), cql.width(statement))
        return found


def _order_values(order: Order, nothing: bytes) -> bytes:
    return b"".join(
        (
            long(order.price, nothing),
            long(order.quantity, nothing),
            long(order.quote_quantity, nothing),
            _terms(order.symbol, order.side, order.order_type, order.time_in_force, order.post_only),
            word(order.self_trade_prevention),
            text(order.client_order_id, nothing),
            word(order.status),
            word(order.reason, nothing),
        )
    )


@lru_cache(maxsize=4096)
def _terms(symbol: str, side: str, order_type: str, time_in_force: str, post_only: bool) -> bytes:
    return b"".join((text(symbol), text(side), text(order_type), text(time_in_force), TRUE if post_only else FALSE))

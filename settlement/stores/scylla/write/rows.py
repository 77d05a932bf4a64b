"""Serializes the rows of a projection, grouped by partition."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from struct import Struct

from settlement.stores.base import OPEN_STATUSES, LedgerEvent, Order, Projection, Trade, Transfer
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import (
    FALSE,
    NULL,
    TRUE,
    UNSET,
    Outbox,
    cached_text,
    long,
    longs,
    routing_key,
    statement_header,
    text,
)
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import ACCOUNTS, OPEN_ORDERS, ORDERS, TRADES, Entries, date_value, int_value
from settlement.stores.scylla.keys import ACCOUNTS_PER_BUCKET, BUCKET_SIZE, PART_SIZE, date_of, month_of, stamp

_TRADE = longs(11)
_ORDER = longs(6)
_LEDGER = Struct(">iqiiiqiqiqiqiqiq")
_BALANCE = longs(4)
_CANDLE = longs(8)


class Rows:
    """Collects the rows of one batch and the index entries that they need."""

    def __init__(self, session: Session, shard: int, generation: int, headers: dict[str, bytes]) -> None:
        """`headers` is a cache that all batches of a store share."""
        self.outbox = Outbox()
        self.entries = Entries()
        self._session = session
        self._shard = int_value(shard)
        self._generation = generation
        self._headers = headers
        self._accounts: dict[tuple[int, int, int], tuple[bytes, bytes]] = {}

    def add(
        self, projection: Projection, placed_before: Mapping[int, str | None] | None, is_reset: bool = False
    ) -> None:
        """`placed_before`: the orders that have rows from before the batch, and their client order ids; None: unknown.

        `is_reset`: writes nulls, for columns that may have a value from before the reset.
        """
        self._add_trades(projection.trades)
        self._add_orders(projection.orders, placed_before, NULL if is_reset else UNSET)
        self._add_ledger_events(projection.ledger_events)
        self._add_transfers(projection.transfers)
        self._add_balances(projection)
        self._add_account_settings(projection)
        self._add_candles(projection)
        self._add_days_and_definitions(projection)

    def _add_trades(self, trades: Sequence[Trade]) -> None:
        header, account_header = self._header(cql.PUT_TRADE), self._header(cql.PUT_ACCOUNT_TRADE)
        add, pack = self.outbox.add, _TRADE.pack
        place: tuple[date, int] | None = None
        for trade in trades:
            (
                number, block, at_ns, symbol, price, quantity, side, maker, taker, buyer, seller, fee, other_fee,
                trade_number,
            ) = trade  # fmt: skip
            time = self._time(number)
            on = date_of(at_ns)
            if place != (on, number // BUCKET_SIZE):
                place = (on, number // BUCKET_SIZE)
                day, bucket = date_value(on), long(place[1])
                key, where = routing_key(self._shard[4:], day[4:], bucket[4:]), header + self._shard + day + bucket
            values = pack(
                8, number, 8, block, 8, at_ns, 8, price, 8, quantity, 8, maker, 8, taker, 8, buyer, 8, seller, 8, fee,
                8, other_fee,
            )  # fmt: skip
            rest = cached_text(symbol), cached_text(side), long(trade_number, UNSET), time
            add(key, b"".join((where, values, *rest)))
            self.entries.add_trade(number, on, symbol)
            last = long(number) + time
            month, part = month_of(at_ns), number // PART_SIZE
            for account in {buyer, seller}:
                self.entries.account_parts.add((account, TRADES, "", month, part))
                key_of_account, place_of_account = self._account(account, month, part)
                add(key_of_account, account_header + place_of_account + last)

    def _add_orders(
        self, orders: Sequence[Order], placed_before: Mapping[int, str | None] | None, if_none: bytes
    ) -> None:
        header, account_header = self._header(cql.PUT_ORDER), self._header(cql.PUT_ACCOUNT_ORDER)
        client_header = self._header(cql.PUT_CLIENT_ORDER)
        open_header, closed_header = self._header(cql.PUT_OPEN_ORDER), self._header(cql.DROP_OPEN_ORDER)
        add, pack = self.outbox.add, _ORDER.pack
        bucket_now, key, where = None, b"", b""
        for order in orders:
            number = order.order_id
            if bucket_now != number // BUCKET_SIZE:
                bucket_now = number // BUCKET_SIZE
                bucket = long(bucket_now)
                key, where = routing_key(self._shard[4:], bucket[4:]), self._shard + bucket
            time, order_id = self._time(order.updated_sequence), long(number)
            add(key, b"".join((header, where, order_id, pack(
                8, order.account, 8, order.filled, 8, order.remaining, 8, order.placed_at_ns, 8, order.updated_at_ns,
                8, order.updated_sequence,
            ), _order_values(order, if_none), time)))  # fmt: skip
            is_new = placed_before is None or number not in placed_before
            is_old = placed_before is None or number in placed_before
            is_renamed = placed_before is None or placed_before.get(number) != order.client_order_id
            if is_new or is_renamed:
                month, part = month_of(order.placed_at_ns), number // PART_SIZE
                key_of_account, place_of_account = self._account(order.account, month, part)
            if is_new:
                self.entries.add_order(number, order.symbol)
                self.entries.account_parts.add((order.account, ORDERS, "", month, part))
                add(key_of_account, account_header + place_of_account + order_id + time)
            if is_renamed and order.client_order_id is not None:
                add(key_of_account, client_header + place_of_account + text(order.client_order_id) + order_id + time)
            is_open = order.status in OPEN_STATUSES
            if is_open and is_new:
                self.entries.children.add((OPEN_ORDERS, bucket_now))
                add(key, open_header + where + order_id + time)
            elif not is_open and is_old:
                add(key, closed_header + time + where + order_id)

    def _add_ledger_events(self, events: Sequence[LedgerEvent]) -> None:
        header = self._header(cql.PUT_LEDGER_EVENT)
        add, pack = self.outbox.add, _LEDGER.pack
        noted: set[tuple[int, int, str, int]] = set()
        for number, leg, block, at_ns, account, asset, kind, available, locked, available_after, locked_after in events:
            month = month_of(at_ns)
            noted.add((number // BUCKET_SIZE, account, asset, month))
            key, where = self._account(account, month, number // PART_SIZE)
            values = pack(
                8, number, 4, leg, 8, block, 8, at_ns, 8, available, 8, locked, 8, available_after, 8, locked_after
            )
            add(key, b"".join((header, where, values, cached_text(asset), cached_text(kind), self._time(number))))
        for bucket, account, asset, month in noted:
            self.entries.add_ledger(bucket, account, asset, month)

    def _add_transfers(self, transfers: Sequence[Transfer]) -> None:
        header, reference_header = self._header(cql.PUT_TRANSFER), self._header(cql.PUT_REFERENCE)
        for number, block, at_ns, account, asset, kind, amount, reference in transfers:
            time, bucket = self._time(number), long(number // BUCKET_SIZE)
            numbers = long(number) + long(block) + long(at_ns) + long(account) + long(amount)
            words = cached_text(asset), cached_text(kind), text(reference), time
            where = routing_key(self._shard[4:], bucket[4:])
            self.outbox.add(where, header + self._shard + bucket + numbers + b"".join(words))
            key = long(account), text(reference)
            where = routing_key(self._shard[4:], *(part[4:] for part in key))
            self.outbox.add(where, reference_header + self._shard + b"".join((*key, long(number), time)))

    def _add_balances(self, projection: Projection) -> None:
        header = self._header(cql.PUT_BALANCE) + self._shard
        for account, asset, available, locked, sequence in projection.balances:
            bucket = long(account // ACCOUNTS_PER_BUCKET)
            self.entries.children.add((ACCOUNTS, account))
            values = _BALANCE.pack(8, account, 8, available, 8, locked, 8, sequence)
            row = header + bucket + values + cached_text(asset) + self._time(sequence)
            self.outbox.add(routing_key(self._shard[4:], bucket[4:]), row)

    def _add_account_settings(self, projection: Projection) -> None:
        header = self._header(cql.PUT_ACCOUNT_SETTING) + self._shard
        for account, kind, symbol, status, maker_fee, taker_fee, sequence in projection.settings:
            bucket = long(account // ACCOUNTS_PER_BUCKET)
            self.entries.children.add((ACCOUNTS, account))
            # Fees that are taken away replace those of an earlier row.
            fees = UNSET + UNSET if status else long(maker_fee) + long(taker_fee)
            where = long(account) + cached_text(kind) + cached_text(symbol)
            values = cached_text(status, UNSET) + fees + long(sequence) + self._time(sequence)
            self.outbox.add(routing_key(self._shard[4:], bucket[4:]), header + bucket + where + values)

    def _add_candles(self, projection: Projection) -> None:
        header = self._header(cql.PUT_CANDLE) + self._shard
        for candle in projection.candles:
            symbol, minute_ns, *numbers, last, of_quote, of_takers, of_takers_quote = candle
            month = month_of(minute_ns)
            self.entries.candle_months.add((symbol, month))
            where = cached_text(symbol), int_value(month)
            values = _CANDLE.pack(*(part for number in (minute_ns, *numbers, last) for part in (8, number)))
            values += long(of_quote, UNSET) + long(of_takers, UNSET) + long(of_takers_quote, UNSET)
            row = header + b"".join(where) + values + self._time(last)
            self.outbox.add(routing_key(self._shard[4:], where[0][4:], where[1][4:]), row)

    def _add_days_and_definitions(self, projection: Projection) -> None:
        key = routing_key(self._shard[4:])
        for day, first, last in projection.days:
            values = date_value(day) + long(first) + long(last) + self._time(last)
            self.outbox.add(key, self._header(cql.PUT_TRADING_DAY) + self._shard + values)
        for number, kind, words in projection.definitions:
            values = long(number) + int_value(kind) + text(words) + self._time(number)
            self.outbox.add(key, self._header(cql.PUT_DEFINITION) + self._shard + values)

    def _account(self, account: int, month: int, part: int) -> tuple[bytes, bytes]:
        """The routing key of one partition of an account, and the serialized partition key of its rows."""
        found = self._accounts.get((account, month, part))
        if found is None:
            values = self._shard, long(account), int_value(month), long(part)
            found = routing_key(*(value[4:] for value in values)), b"".join(values)
            self._accounts[account, month, part] = found
        return found

    def _time(self, sequence: int) -> bytes:
        return long(stamp(self._generation, sequence))

    def _header(self, statement: str) -> bytes:
        header = self._headers.get(statement)
        if header is None:
            header = statement_header(self._session.query_id(statement), cql.width(statement))
            self._headers[statement] = header
        return header


def _order_values(order: Order, if_none: bytes) -> bytes:
    return b"".join(
        (
            long(order.price, if_none),
            long(order.quantity, if_none),
            long(order.quote_quantity, if_none),
            _terms(order.symbol, order.side, order.order_type, order.time_in_force, order.post_only),
            cached_text(order.self_trade_prevention),
            text(order.client_order_id, if_none),
            cached_text(order.status),
            cached_text(order.reason, if_none),
            long(order.trigger_price, if_none),
            long(order.visible_quantity, if_none),
            long(order.order_list_id, if_none),
            long(order.triggered_at_ns, if_none),
        )
    )


@lru_cache(maxsize=4096)
def _terms(symbol: str, side: str, order_type: str, time_in_force: str, post_only: bool) -> bytes:
    return b"".join((text(symbol), text(side), text(order_type), text(time_in_force), TRUE if post_only else FALSE))

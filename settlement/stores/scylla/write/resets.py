"""Deletes projected rows: all of a shard, or those that an event or a later one set.

Partitions are found through the indexes, which are kept. A delete has the last write time of the previous generation,
so it hides no row of the new generation, whichever reaches a node first. Tables are not truncated, because they may
contain rows of other shards.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from settlement.stores.base import Candle
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import ACCOUNTS, LEDGER, OPEN_ORDERS, ORDERS, TRADES, Index
from settlement.stores.scylla.keys import BUCKET_SIZE, INT64_MIN, PART_SIZE, balance_buckets, last_stamp


class ProjectionReset:
    """Deletes rows of one generation."""

    def __init__(self, session: Session, shard: int, index: Index, generation: int) -> None:
        """`generation` is the one whose rows are deleted."""
        self._session = session
        self._shard = shard
        self._index = index
        self._at = last_stamp(generation)

    def delete_from(self, *, event: int, order: int) -> None:
        """Deletes rows that this event and later ones set; `order` is the first order that may have such a row.

        All balances, account settings and entries of `open_orders` are deleted, because the caller writes them again.
        """
        self._delete(cql.DROP_TRADES, self._trade_buckets(event), event)
        self._delete(cql.DROP_DAY, ((row[0],) for row in self._rows(cql.TRADING_DAYS) if row[2] >= event))
        self._drop_by_account(event, order)
        self._delete(
            cql.DROP_TRANSFERS, ((bucket,) for bucket in self._index.walk(LEDGER, event // BUCKET_SIZE)), event
        )
        buckets = [(bucket,) for bucket in balance_buckets(self._index.walk(ACCOUNTS))]
        self._delete(cql.DROP_BALANCES, buckets)
        self._delete(cql.DROP_ACCOUNT_SETTINGS, buckets)
        self._drop_orders(event, order)
        for symbol, month in self._rows(cql.ALL_CANDLE_MONTHS):
            newer = takewhile(lambda row: Candle._make(row).last_trade_id >= event, self._candles(symbol, month))
            oldest = min((row[1] for row in newer), default=None)
            if oldest is not None:
                self._delete(cql.DROP_CANDLES, [(symbol, month)], oldest)
        self._delete(cql.DROP_DEFINITIONS, [()], event)

    def _trade_buckets(self, event: int) -> Iterator[tuple[Any, ...]]:
        for bucket in self._index.walk(TRADES, event // BUCKET_SIZE):
            for on in self._index.dates_of(bucket):
                yield on, bucket

    def _drop_by_account(self, event: int, order: int) -> None:
        for account in self._index.walk(ACCOUNTS):
            parts = self._rows(cql.ALL_ACCOUNT_PARTS, account)
            places = [(kind, asset, (account, month, part)) for kind, asset, month, part in parts]
            trades = [place for kind, _, place in places if kind == TRADES and place[2] >= event // PART_SIZE]
            ledger = [
                (*place, asset) for kind, asset, place in places if kind == LEDGER and place[2] >= event // PART_SIZE
            ]
            orders = [place for kind, _, place in places if kind == ORDERS and place[2] >= order // PART_SIZE]
            self._delete(cql.DROP_ACCOUNT_TRADES, trades, event)
            self._delete(cql.DROP_ACCOUNT_ORDERS, orders, order)
            self._delete(cql.DROP_LEDGER, ledger, event)

    def _drop_orders(self, event: int, order: int) -> None:
        self._delete(cql.DROP_OPEN_ORDERS, ((bucket,) for bucket in self._index.walk(OPEN_ORDERS)))
        for bucket in self._index.walk(ORDERS, order // BUCKET_SIZE):
            rows = self._session.rows(cql.ORDER_SEQUENCES, (self._shard, bucket))
            ids = [order_id for order_id, sequence in rows if sequence >= event]
            self._delete(cql.DROP_ORDER, ((bucket, order_id) for order_id in ids))

    def delete_all(self) -> None:
        self.delete_from(event=INT64_MIN, order=INT64_MIN)

    def _candles(self, symbol: str, month: int) -> Iterator[tuple[Any, ...]]:
        return self._session.iterate(cql.CANDLES, (self._shard, symbol, month))

    def _rows(self, statement: str, *key: Any) -> list[tuple[Any, ...]]:
        return self._session.rows(statement, (self._shard, *key))

    def _delete(self, statement: str, keys: Iterable[Sequence[Any]], *condition: int) -> None:
        values = ((self._at, self._shard, *key, *condition) for key in keys)
        self._session.run_many(statement, values)

"""Rows that COPY writes to a real PostgreSQL: those of the statements row by row, also where they are written again."""

from datetime import date, timedelta
from typing import Any

import pytest

from settlement.project.projection import EmptyTables, Projector
from settlement.stores.base import Projection, Store, StoreRejected
from settlement.stores.sql.postgres_copy import MIN_ROWS
from settlement.stores.sql.store import SqlStore
from tests.settlement.conftest import tables
from tests.settlement.every_command import market
from tests.settlement.rows import balance, candle, day, entry, order, projection, trade, transfer

pytestmark = pytest.mark.services("postgres")

MANY = range(1, 2 * MIN_ROWS)
TEXTS = [None, "", "NULL", "{a,b}", 'say "x"', "back\\slash", "it's", "é – 中", "a,b", "%s", "line\nbreak"]


def many(**changed: Any) -> Projection:
    """More rows of each table than are written row by row."""
    rows: dict[str, Any] = {
        "trades": [trade(number, trade_number=number % 2 or None) for number in MANY],
        "orders": [order(number, client_order_id=TEXTS[number % len(TEXTS)], price=None) for number in MANY],
        "ledger_events": [entry(number, number % 10, available_after=(1 << 63) - 1) for number in MANY],
        "transfers": [transfer(number, reference=TEXTS[number % len(TEXTS)] or "") for number in MANY],
        "balances": [balance(number) for number in MANY],
        "candles": [candle(number) for number in MANY],
        "days": [day(1, 2, of=date(1999, 12, 1) + timedelta(number)) for number in MANY],
    }
    return projection(1, **{**rows, **changed})


def test_any_row_comes_back_as_it_was(sql: SqlStore) -> None:
    rows = many()
    for _ in range(2):  # the second time, all rows are there
        sql.insert_rows(rows)
        assert sql.get_trades_by_sequence_range(0, 1 << 62, 1000) == rows.trades
        assert sorted(sql.get_orders(MANY)) == rows.orders
        assert sql.get_ledger_events(0, 1 << 58) == rows.ledger_events
        assert sql.get_transfers_by_sequence_range(0, 1 << 58) == rows.transfers
        assert list(sql.balances()) == rows.balances
        assert sorted(sql.get_candles([row[:2] for row in rows.candles])) == rows.candles
        assert [sql.trading_day(row.day) for row in rows.days] == list(rows.days)


def test_an_older_row_does_not_overwrite_a_newer_one(sql: SqlStore) -> None:
    sql.insert_rows(many(balances=[balance(number, available=7, sequence=9) for number in MANY]))
    sql.insert_rows(many(balances=[balance(number, available=3, sequence=number % 18) for number in MANY]))
    assert [row.available for row in sql.balances()] == [3 if number % 18 >= 9 else 7 for number in MANY]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"orders": [order(number, client_order_id="\0") for number in MANY]}, "0x00"),
        ({"orders": [order(number, client_order_id="long" * 100) for number in MANY]}, "too long"),
        ({"balances": [balance(number, available=1 << 63) for number in MANY]}, "big"),
    ],
)
def test_what_postgresql_cannot_keep_is_rejected_with_its_batch(
    sql: SqlStore, rows: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StoreRejected, match=sentence):
        sql.insert_rows(many(**rows))
    assert sql.get_trade_by_id(1) is None


@pytest.mark.parametrize("min_rows", [1, 1 << 30])
def test_columns_are_written_as_rows_are(sql: SqlStore, monkeypatch: pytest.MonkeyPatch, min_rows: int) -> None:
    monkeypatch.setattr("settlement.stores.sql.session.MIN_ROWS", min_rows)
    columns = Projector(EmptyTables(), kept=None).project(market().blocks)
    sql.insert_rows(columns)
    written = contents(sql)
    sql.drop_projections()
    monkeypatch.undo()
    for name in (
        "definitions",
        "trades",
        "orders",
        "ledger_events",
        "transfers",
        "balances",
        "candles",
        "days",
        "settings",
    ):
        for row in getattr(columns, name):
            sql.insert_rows(projection(1, **{name: [row]}))
    assert contents(sql) == written


def contents(store: Store) -> dict[str, list[Any]]:
    return {name: rows for name, rows in tables(store).items() if name != "checkpoints"}

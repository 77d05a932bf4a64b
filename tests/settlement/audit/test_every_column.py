"""Each column of each table is compared, on every SQL database: a changed, missing or added row is found."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from matching.core.engine import Engine
from settlement.audit import verify, whole_parts
from settlement.audit.whole_parts import Equal, Part
from settlement.project.projection import EmptyTables, Projector
from settlement.project.trail import texts_by_day
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import STORES, Settle
from tests.settlement.fakes import FakeClock, feed_of

pytestmark = pytest.mark.parametrize("store", STORES[:2], indirect=True)

BLOCKS = chain_of(random_commands(5, 300, instruments=2, accounts=4, wild=False), 16).blocks
KEYS = {
    "settled_trades": ("trade_id",),
    "orders": ("order_id",),
    "ledger_events": ("entry",),
    "transfers": ("event_sequence",),
    "balances": ("account", "asset"),
    "account_settings": ("account", "kind", "symbol"),
    "candles": ("symbol", "minute_ns"),
    "trading_days": ("day",),
    "definitions": ("event_sequence",),
}
WHOLE_TABLES = {"settled_trades": "trades", "ledger_events": "ledger_events", "orders": "placed_orders"}
"""Those that are compared as whole columns, and the field of `Equal` with the result."""

ALL_EQUAL = Equal(trades=True, ledger_events=True, placed_orders=True, older_orders=True)
Row = dict[str, Any]


class Table:
    """Rows of one table of a store, changed by SQL."""

    def __init__(self, store: Store, name: str) -> None:
        assert isinstance(store, SqlStore)
        self._connection = connections[store._session.alias]
        self.name = name

    def rows(self, condition: str = "") -> list[Row]:
        key = ", ".join(KEYS[self.name])
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self.name} {condition} ORDER BY {key}")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def delete(self, row: Row) -> None:
        condition = " AND ".join(f"{name} = %s" for name in KEYS[self.name])
        with self._connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {self.name} WHERE {condition}", [row[name] for name in KEYS[self.name]])
            assert cursor.rowcount == 1, row

    def insert(self, row: Row) -> None:
        with self._connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO {self.name} ({', '.join(row)}) VALUES ({places})", list(row.values()))

    @contextmanager
    def replaced(self, row: Row, by: Row | None) -> Iterator[None]:
        """Another row, or none, in place of this one."""
        self.delete(row)
        if by is not None:
            self.insert(by)
        yield
        if by is not None:
            self.delete(by)
        self.insert(row)


def other(value: Any, taken: set[Any], chosen: random.Random) -> Any:
    """A value of the same type that is not `taken`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        found = value + chosen.choice((1, -1))
        while found in taken:
            found += 1
        return found
    if isinstance(value, str):
        return f"{value[:-1]}{'y' if value.endswith('x') else 'x'}"
    return value.replace(year=value.year - 1)  # a day


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, BLOCKS))
    return store


@pytest.mark.parametrize("name", KEYS)
def test_verification_finds_each_changed_column_and_each_missing_row(
    settled: Store, folder: Path, name: str, seed: int
) -> None:
    table, chosen = Table(settled, name), random.Random(seed)
    rows = table.rows()

    def count() -> int:
        return verify.verify(settled, folder, Engine()).difference_count

    assert count() == 0
    for column in rows[0]:
        row = chosen.choice([one for one in rows if one[column] is not None])
        changed = {**row, column: other(row[column], {one[column] for one in rows}, chosen)}
        with table.replaced(row, changed):
            assert count() == (2 if column in KEYS[name] else 1), (seed, name, column, row)
    lost = chosen.choice(rows)
    with table.replaced(lost, None):
        assert count() == 1, (seed, name, lost)
    assert count() == 0


def parts() -> Iterator[Part]:
    """Each block as a part of its own."""
    projector = Projector(EmptyTables(), kept=None)
    for block in BLOCKS:
        projection = projector.project([block])
        lines = list(texts_by_day(projection.trades, projector.registry))
        yield Part(block, block.last_command_sequence, block.last_event_sequence, projection, lines)


def wrong_fields(store: Store) -> set[str]:
    """The fields of `Equal` that are false for a part."""
    found = [whole_parts.begin(part, store, None)() for part in parts()]
    return {name for equal in found for name in Equal._fields if not getattr(equal, name)}


@pytest.mark.parametrize("name", WHOLE_TABLES)
def test_whole_columns_differ_if_a_value_does_and_are_equal_otherwise(settled: Store, name: str, seed: int) -> None:
    """So that `verify` reads no rows of a store that is in order, and never takes a wrong one for right."""
    table, chosen = Table(settled, name), random.Random(seed)
    condition = "WHERE status IN ('filled', 'cancelled')" if name == "orders" else ""
    rows = table.rows(condition)
    assert wrong_fields(settled) == set()
    for column in rows[0]:
        row = chosen.choice([one for one in rows if one[column] is not None])
        with table.replaced(row, {**row, column: other(row[column], {one[column] for one in rows}, chosen)}):
            found = wrong_fields(settled)
            assert found, (seed, column, row)
            assert found <= {WHOLE_TABLES[name], "older_orders"}, (seed, column, row)
    with table.replaced(chosen.choice(rows), None):
        assert wrong_fields(settled)
    assert wrong_fields(settled) == set()


def test_open_orders_are_left_aside(settled: Store) -> None:
    table = Table(settled, "orders")
    row = table.rows("WHERE status = 'open'")[0]
    with table.replaced(row, {**row, "remaining": row["remaining"] + 1}):
        assert wrong_fields(settled) == set()


def test_an_empty_part_is_equal_to_no_rows(store: Store) -> None:
    first = next(parts())
    assert whole_parts.begin(first, store, None)() == ALL_EQUAL

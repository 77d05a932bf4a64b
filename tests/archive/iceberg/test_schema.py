"""The columns of the archive are those of the store's rows."""

from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from archive.iceberg.schema import BLOCKS, CLOSED_ORDERS, LEDGER_EVENTS, TABLES, TRADES, ArchiveTable
from settlement.stores.base import LedgerEvent, Order, StoredBlock, Trade

TYPES = {int: "long", str: "string", bool: "boolean", bytes: "binary"}


def column_of(name: str, hint: Any) -> tuple[str, str, bool]:
    """(name, Iceberg type, whether it may be missing)"""
    of = [one for one in (get_args(hint) or (hint,)) if one is not NoneType]
    return name, TYPES[of[0]], NoneType in get_args(hint)


@pytest.mark.parametrize(
    ("table", "row", "as_text"),
    [
        (BLOCKS, StoredBlock, {"hash", "prev_hash"}),
        (TRADES, Trade, set()),
        (LEDGER_EVENTS, LedgerEvent, set()),
        (CLOSED_ORDERS, Order, set()),
    ],
)
def test_a_table_has_the_fields_of_the_row(table: ArchiveTable, row: Any, as_text: set[str]) -> None:
    hints = get_type_hints(row)
    wanted = [column_of(name, str if name in as_text else hints[name]) for name in row._fields]
    assert [(column.name, str(column.type), column.is_optional) for column in table.columns] == wanted


@pytest.mark.parametrize("table", TABLES)
def test_columns_keep_their_numbers(table: ArchiveTable) -> None:
    fields = table.schema.fields
    assert [field.field_id for field in fields] == list(range(1, len(fields) + 1))
    assert [field.name for field in fields][:2] == ["day", "shard"]

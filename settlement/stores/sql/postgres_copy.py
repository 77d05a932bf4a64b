"""Writes rows to PostgreSQL by COPY.

Rows that never change are copied into their table. The others, and those that a batch writes again, are copied into a
temporary table, which one statement merges. The rows are encoded by NumPy, a column at a time, in COPY's binary format:
https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4. Numbers are big-endian, a text is its characters,
a day is the number of days since 2000-01-01.
"""

import struct
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.errors import UniqueViolation

from settlement.stores.base.columns import ABSENT, Column, ColumnTable, Numbers, Objects, OptionalNumbers, Words
from settlement.stores.sql.statements import Bulk

MIN_ROWS = 64
"""For fewer rows, the round trips for the temporary table cost more than they save."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # without flags and without an extension
_END = b"\xff\xff"
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_BIGINT = np.dtype([("length", ">i4"), ("value", ">i8")])
_EPOCH = date(2000, 1, 1)

Cells = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64] | int]
"""The bytes of one column, a line for each row, and how many bytes of each line count."""


def write(connection: BaseDatabaseWrapper, bulk: Bulk, rows: Sequence[Any]) -> None:
    """Writes rows with distinct keys, in a transaction that is open.

    Raises Django's database errors, and OverflowError for an integer beyond 64 bits.
    """
    data = encode(rows, bulk.types)
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        if not (bulk.is_final and _is_added(cursor, bulk, data)):
            cursor.execute(bulk.staging)
            _copy(cursor, bulk.copy_to_staging, data)
            cursor.execute(bulk.merge)


def _is_added(cursor: Any, bulk: Bulk, data: bytes) -> bool:
    """Whether the table had none of the rows, and has them now."""
    # psycopg's own savepoint would begin a transaction, and commit it, if this is the first statement of Django's.
    cursor.execute("SAVEPOINT before_copy")
    try:
        _copy(cursor, bulk.copy, data)
    except UniqueViolation:
        cursor.execute("ROLLBACK TO SAVEPOINT before_copy")
        return False
    cursor.execute("RELEASE SAVEPOINT before_copy")
    return True


def _copy(cursor: Any, statement: str, data: bytes) -> None:
    with cursor.copy(statement) as copy:
        copy.write(data)


def encode(rows: Sequence[Any], types: Sequence[str]) -> bytes:
    """The rows in COPY's binary format. `types`: PostgreSQL's type of each column."""
    columns: Sequence[Column]
    columns = (
        rows.columns if isinstance(rows, ColumnTable) else [Objects(list(values)) for values in zip(*rows, strict=True)]
    )
    count = np.broadcast_to(np.frombuffer(struct.pack(">h", len(types)), np.uint8), (len(rows), 2))
    cells: list[Cells] = [(count, 2), *(_cells(column, name) for column, name in zip(columns, types, strict=True))]
    is_sent = [np.arange(data.shape[1]) < np.reshape(length, (-1, 1)) for data, length in cells]
    sent = [np.broadcast_to(wanted, data.shape) for wanted, (data, _) in zip(is_sent, cells, strict=True)]
    return _SIGNATURE + np.hstack([data for data, _ in cells])[np.hstack(sent)].tobytes() + _END


def _cells(column: Column, name: str) -> Cells:
    match column:
        case Numbers() if name == "bigint":
            return _bigints(column.array, None)
        case OptionalNumbers():
            return _bigints(column.array, column.array == ABSENT)
        case Words():
            data, lengths = _padded([_cell(text, name) for text in column.texts])
            return data[column.codes], lengths[column.codes]
        case _:
            return _padded([_cell(value, name) for value in column.values()])


def _bigints(array: npt.NDArray[np.int64], is_absent: npt.NDArray[np.bool_] | None) -> Cells:
    made = np.empty(len(array), _BIGINT)
    made["length"], made["value"] = _BIGINT.itemsize - _LENGTH.size, array
    data = made.view(np.uint8).reshape(-1, _BIGINT.itemsize)
    if is_absent is None or not is_absent.any():
        return data, _BIGINT.itemsize
    made["length"][is_absent] = -1
    return data, np.where(is_absent, _LENGTH.size, _BIGINT.itemsize)


def _padded(cells: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    lengths = np.fromiter(map(len, cells), np.int64, len(cells))
    width = int(lengths.max())
    data = np.frombuffer(b"".join(cell.ljust(width, b"\0") for cell in cells), np.uint8)
    return data.reshape(-1, width), lengths


def _cell(value: Any, name: str) -> bytes:
    """One value behind its length."""
    if value is None:
        return _NULL
    if name == "text":
        data = str(value).encode()
    elif name == "date":
        data = (value - _EPOCH).days.to_bytes(4, "big", signed=True)
    else:
        data = int(value).to_bytes(8 if name == "bigint" else 1, "big", signed=True)
    return _LENGTH.pack(len(data)) + data

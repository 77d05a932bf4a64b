"""A statement as a file: CSV, or Parquet with exact decimals."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, cast

from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase

from analytics import row_files
from analytics.row_files import Kind
from back_office import csv_files
from back_office.csv_files import MAX_ROWS, cells_of
from back_office.filters import BadFilter
from back_office.formats import Figure, ReferenceData
from back_office.statements.entries import AssetBalance, Statement, StatementFilter
from back_office.statements.rows import EntryRow

FORMATS = ("csv", "parquet")
OPENING, CLOSING = "opening_balance", "closing_balance"
"""Kinds of the rows that are no entries. A file of a period begins with the closing and ends with the opening ones."""

_KINDS = {
    "sequence": Kind.WHOLE,
    "leg": Kind.WHOLE,
    "time": Kind.TIME,
    "account": Kind.WHOLE,
    "kind": Kind.TEXT,
    "asset": Kind.TEXT,
    "delta_available": Kind.AMOUNT,
    "delta_locked": Kind.AMOUNT,
    "available_after": Kind.AMOUNT,
    "locked_after": Kind.AMOUNT,
    "block": Kind.WHOLE,
}
COLUMNS = tuple(_KINDS)
_cells = cells_of(COLUMNS)


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """A balance at the beginning or the end of a period, with the columns of an entry."""

    time: str
    account: int
    kind: str
    asset: str
    available_after: Figure
    locked_after: Figure
    sequence: None = None
    leg: None = None
    delta_available: None = None
    delta_locked: None = None
    block: None = None


Line = EntryRow | BalanceLine


def download(
    request: HttpRequest, kind: str, statement: Statement, wanted: StatementFilter, reference: ReferenceData
) -> HttpResponseBase:
    """The file, newest first. `kind`: one of FORMATS. Raises BadFilter, QueryTooLarge for what Parquet cannot hold."""
    lines, name = _lines(statement, wanted, reference), f"statement-{wanted.account}"
    if kind == "csv":
        return csv_files.download(request, name, COLUMNS, map(_cells, lines))
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # FileResponse closes it
    row_files.write_parquet(_KINDS, map(_typed, lines), file, max_rows=MAX_ROWS)
    file.seek(0)
    return FileResponse(
        file, as_attachment=True, filename=f"{name}.parquet", content_type="application/vnd.apache.parquet"
    )


def _lines(statement: Statement, wanted: StatementFilter, reference: ReferenceData) -> Iterator[Line]:
    def lines(kind: str, time: str, balances: list[AssetBalance]) -> Iterator[Line]:
        for one in balances:
            available = reference.amount(one.asset, one.available)
            locked = reference.amount(one.asset, one.locked)
            yield BalanceLine(time, wanted.account, kind, one.asset, available, locked)

    if wanted.days is not None:
        yield from lines(CLOSING, wanted.days.end_text, statement.closings())
    yield from (EntryRow.of(entry, reference) for entry in statement.all())
    if wanted.days is not None:
        yield from lines(OPENING, wanted.days.begin_text, statement.openings())


def _typed(line: Line) -> list[Any]:
    """Raises BadFilter for an amount without decimals."""
    return [_time(line.time) if name == "time" else _value(getattr(line, name)) for name in COLUMNS]


def _time(text: str) -> datetime | None:
    """None: a period without this end."""
    return datetime.fromisoformat(text) if text else None


def _value(cell: Any) -> Any:
    """Raises BadFilter for an amount without decimals."""
    if not isinstance(cell, Figure):
        return cell
    try:
        return Decimal(cell.text)
    except InvalidOperation:
        raise BadFilter(f"An asset's definition is missing, so {cell.text} have no decimals: export as CSV.") from None

"""Files of rows as CSV: made and sent in pieces, so that a file of any length needs little memory."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from back_office.formats import Figure

PIECE_ROWS = 1_000
MAX_ROWS = 100_000
"""A file has no more rows, so that it is made and sent within WEB_RESPONSE_SECONDS."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters with which a spreadsheet takes a cell for a formula."""
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)

Cells = Sequence[object]


def cells_of(names: Sequence[str]) -> Callable[[object], Cells]:
    """Reads these attributes of a row."""
    return lambda row: [getattr(row, name) for name in names]


def download(request: HttpRequest, name: str, columns: Cells, rows: Iterable[Cells]) -> StreamingHttpResponse:
    """The file `name`.csv. `rows` are read while it is sent, by the thread that answers the request.

    The first ones are read at once: an error there is still answered with a page. A later one cuts the file off.
    """
    left = iter(rows)
    first = list(islice(left, PIECE_ROWS))
    pieces = _pieces(columns, chain(first, left))
    # Django would read a plain iterator to its end before it sends anything by ASGI.
    content = _without_blocking(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _pieces(columns: Cells, rows: Iterator[Cells]) -> Iterator[str]:
    yield _text([columns])
    for _ in range(MAX_ROWS // PIECE_ROWS):
        piece = list(islice(rows, PIECE_ROWS))
        if piece:
            yield _text(piece)
        if len(piece) < PIECE_ROWS:
            return
    if next(rows, None) is not None:
        yield _text([[f"There are more than {MAX_ROWS:,} rows. Filter for fewer to see the others."]])


async def _without_blocking(pieces: Iterator[str]) -> AsyncIterator[str]:
    read = sync_to_async(lambda: next(pieces, None))
    while (piece := await read()) is not None:
        yield piece


def _text(rows: Iterable[Cells]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: object) -> str:
    """The cell's text, marked as text if a spreadsheet would take it for a formula."""
    if isinstance(cell, Figure):
        return cell.text
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text

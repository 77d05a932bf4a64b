"""Writes an answer as a table for people, CSV, Parquet or JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from analytics.embedded import Answer
from settlement.project.trail import time_text

FORMATS = ("table", "csv", "parquet", "json")
SHOWN_ROWS = 1000
"""Of a table for people; the other formats have all rows."""
_SHOWN_BLOCKS = 10


def table_lines(answer: Answer) -> Iterator[str]:
    rows = list(islice(rows_of(answer.batches), SHOWN_ROWS + 1))
    names = answer.schema.names
    cells = [[_cell(name, value) for name, value in row.items()] for row in rows[:SHOWN_ROWS]]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    is_number = [not pa.types.is_large_string(kind) and not pa.types.is_string(kind) for kind in answer.schema.types]
    for line in (names, ["-" * width for width in widths], *cells):
        aligned = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_number, strict=True)
        )
        yield "  ".join(aligned).rstrip()
    if len(rows) > SHOWN_ROWS:
        yield f"… more than {SHOWN_ROWS} rows: take --format csv, or add a LIMIT."


def json_lines(answer: Answer) -> Iterator[str]:
    """One array, with an object a row; whole numbers are numbers, however large."""
    before = "["
    for row in rows_of(answer.batches):
        text = json.dumps(row, default=str)
        if before == "[":
            before = f"[{text}"
        else:
            yield f"{before},"
            before = f" {text}"
    yield f"{before}]"


def write_csv(answer: Answer, out: BinaryIO) -> None:
    with csv.CSVWriter(out, answer.schema) as writer:
        for batch in answer.batches:
            writer.write_batch(batch)


def write_parquet(answer: Answer, out: BinaryIO) -> None:
    with parquet.ParquetWriter(out, answer.schema, compression="zstd") as writer:
        for batch in answer.batches:
            writer.write_batch(batch)


def of_instrument(answer: Answer, symbol: str) -> Answer:
    """Only the rows of one instrument. The answer has the column `symbol`."""
    return answer._replace(batches=(batch.filter(pc.equal(batch["symbol"], symbol)) for batch in answer.batches))


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Sums of whole numbers arrive as decimals without digits after the point, and are whole numbers again."""
    for batch in batches:
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(batch.schema.names, map(_value, values), strict=True))


def _value(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_ns") and isinstance(value, int) and 0 <= value < 2**63:
        return time_text(value).replace(".000000000Z", "Z")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def rejected_note(blocks: Sequence[int]) -> str:
    """For people: rows are missing."""
    shown = ", ".join(map(str, blocks[:_SHOWN_BLOCKS])) + (", …" if len(blocks) > _SHOWN_BLOCKS else "")
    return f"Rows are missing, because the store rejected those of block {shown}: run replay_dead_letters --all."

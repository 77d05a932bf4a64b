"""Rows that are at hand, and not the answer to a query, as a Parquet file: written by groups, in little memory."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from analytics.errors import QueryTooLarge

_GROUP_ROWS = 10_000


class Kind(Enum):
    """What a column holds; each value may also be None."""

    WHOLE = pa.int64()
    TEXT = pa.string()
    TIME = pa.timestamp("ms", "UTC")
    AMOUNT = pa.decimal128(38, 18)  # holds every int64 with every number of decimals that an asset may have


def write_parquet(columns: Mapping[str, Kind], rows: Iterator[Sequence[Any]], out: BinaryIO, *, max_rows: int) -> None:
    """Raises QueryTooLarge if there are more rows: unlike CSV, the file has no place to tell that it was cut off."""
    schema = pa.schema([(name, kind.value) for name, kind in columns.items()])
    written = 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        while group := list(islice(rows, _GROUP_ROWS)):
            written += len(group)
            if written > max_rows:
                raise QueryTooLarge(f"There are more than {max_rows:,} rows: choose fewer days, or filter further.")
            writer.write_table(pa.table([list(column) for column in zip(*group, strict=True)], schema))

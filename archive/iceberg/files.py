"""Parquet files: written in row groups of limited size, read in batches."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet
from pyiceberg.io import FileIO, OutputStream

_GROUP_ROWS = 65_536
_GROUP_BYTES = 16 << 20
_FILE_BYTES = 256 << 20
_READ_ROWS = 16_384
_CHUNK_BYTES = 1 << 20
LONG_COLUMN = "data"
"""The bytes of blocks: they get no dictionary and no statistics."""


class ArchivedFile(NamedTuple):
    """A Parquet file of the archive, as its day's manifest names it."""

    path: str  # below the archive's place
    bytes: int
    rows: int
    sha256: str


def write(io: FileIO, stem: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> list[str]:
    """Writes files `stem`-00000.parquet, …; returns their paths, none if there are no rows. Raises OSError.

    At most about _GROUP_BYTES and one batch are in memory, and a file has little more than _FILE_BYTES.
    """
    paths: list[str] = []
    groups = _groups(batches)
    group = next(groups, None)
    while group is not None:
        paths.append(f"{stem}-{len(paths):05}.parquet")
        with io.new_output(paths[-1]).create() as stream, _writer(stream, schema) as writer:
            while group is not None and stream.tell() < _FILE_BYTES:
                writer.write_table(group)
                group = next(groups, None)
    return paths


def batches(io: FileIO, path: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Raises OSError, also for a file that is damaged."""
    with io.new_input(path).open() as stream:
        file = parquet.ParquetFile(stream, page_checksum_verification=True)
        yield from file.iter_batches(_READ_ROWS, columns=columns)


def digest(io: FileIO, path: str) -> tuple[int, str]:
    """Size and SHA-256 of a file. Raises OSError."""
    hasher, size = hashlib.sha256(), 0
    with io.new_input(path).open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hasher.update(chunk)
            size += len(chunk)
    return size, hasher.hexdigest()


def _writer(stream: OutputStream, schema: pa.Schema) -> parquet.ParquetWriter:
    short = [name for name in schema.names if name != LONG_COLUMN]
    return parquet.ParquetWriter(
        stream,
        schema,
        compression="zstd",
        use_dictionary=short,
        write_statistics=short,
        write_page_checksum=True,
    )


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Collects batches into row groups."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)

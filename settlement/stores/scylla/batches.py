"""Unlogged batches of rows of one partition, packed by us.

The driver binds each value by itself: a row of a dozen columns costs it as much as everything else that settlement
does with it. Here a row is made of one or two `struct` calls, already in the protocol's form, and the protocol handler
(the driver's own extension point) puts the rows into the frame as they are.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Any

from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchStatement, BatchType

MOST_ROWS = 500
MOST_BYTES = 96 << 10
"""ScyllaDB warns at 128 KiB."""

NULL = b"\xff\xff\xff\xff"
UNSET = b"\xff\xff\xff\xfe"
"""Leaves the column as it is, and no tombstone."""
TRUE, FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"

_PREPARED = Struct(">BH")
_COUNT = Struct(">H")
_LEADING = _PREPARED.size + 16  # to the end of a statement's id, which is an MD5
_BEGIN = Struct(">BH")  # type, rows
_END = Struct(">HB")  # consistency, flags
_LENGTH = Struct(">i")
_LONG = Struct(">iq")


def longs(count: int) -> Struct:
    """Packs so many bigint columns: `longs(2).pack(8, a, 8, b)`."""
    return Struct(">" + "iq" * count)


def long(value: int | None, nothing: bytes = NULL) -> bytes:
    return nothing if value is None else _LONG.pack(8, value)


def text(value: str | None, nothing: bytes = NULL) -> bytes:
    if value is None:
        return nothing
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


word = lru_cache(maxsize=4096)(text)
"""A text that comes again and again: a symbol, a side, a kind."""


def blob(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def head(query_id: bytes, columns: int) -> bytes:
    """What stands before the values of a prepared statement in a batch."""
    return _PREPARED.pack(1, len(query_id)) + query_id + _COUNT.pack(columns)


def leading(query_id: bytes) -> bytes:
    """How every row of a prepared statement begins."""
    return head(query_id, 0)[:_LEADING]


def routing_key(*parts: bytes) -> bytes:
    """The token of a partition is taken of this."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(_COUNT.pack(len(part)) + part + b"\x00" for part in parts)


class PackedBatch(BatchStatement):  # type: ignore[misc] # ships no types
    """Rows of one partition, as `head` and the packed values."""

    def __init__(self, key: bytes, rows: list[bytes], name: str) -> None:
        super().__init__(BatchType.UNLOGGED)
        self._statements_and_parameters = rows
        self._routing_key = key
        self.is_idempotent = True
        self.name = name  # for the log


class PackedBatchMessage(BatchMessage):  # type: ignore[misc] # ships no types
    """The driver's message in version 4 of the protocol, but for its rows, which are bytes and name their own time."""

    def send_body(self, f: Any, protocol_version: int, protocol_features: Any = None) -> None:
        f.write(_BEGIN.pack(self.batch_type.value, len(self.queries)))
        f.write(b"".join(self.queries))
        f.write(_END.pack(self.consistency_level, 0))


class PackingHandler(ProtocolHandler):  # type: ignore[misc] # ships no types
    """For a session whose batches are all packed ones."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **options: Any) -> Any:
        if isinstance(msg, BatchMessage):
            msg = PackedBatchMessage(msg.batch_type, msg.queries, msg.consistency_level)
        return super().encode_message(msg, *args, **options)


class Outbox:
    """Rows on their way, by partition: `rows[key].append(row)`; `batches` is what to send."""

    def __init__(self) -> None:
        self.rows: dict[bytes, list[bytes]] = {}

    def add(self, key: bytes, row: bytes) -> None:
        rows = self.rows.get(key)
        if rows is None:
            self.rows[key] = [row]
        else:
            rows.append(row)

    def counts(self) -> Counter[bytes]:
        """How many rows of each statement, by `leading`."""
        return Counter(row[:_LEADING] for rows in self.rows.values() for row in rows)

    def batches(self, name: str) -> Iterator[PackedBatch]:
        for key, rows in self.rows.items():
            for piece in _pieces(rows):
                yield PackedBatch(key, piece, name)


def _pieces(rows: list[bytes]) -> Iterator[list[bytes]]:
    if len(rows) <= MOST_ROWS and sum(map(len, rows)) <= MOST_BYTES:
        yield rows
        return
    piece: list[bytes] = []
    size = 0
    for row in rows:
        if piece and (len(piece) == MOST_ROWS or size + len(row) > MOST_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += len(row)
    yield piece

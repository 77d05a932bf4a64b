"""Unlogged batches of rows of one partition, serialized here instead of by the driver.

The driver binds each value separately, which for a row of a dozen columns takes as much time as the rest of settlement
takes for that row. Here one or two `struct` calls serialize a row in the format of the native protocol, and a protocol
handler (an extension point of the driver) copies the rows into the frame unchanged.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Any

from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchStatement, BatchType

MAX_ROWS = 500
MAX_BYTES = 96 << 10
"""ScyllaDB warns about batches over 128 KiB."""

NULL = b"\xff\xff\xff\xff"
UNSET = b"\xff\xff\xff\xfe"
"""Leaves the column unchanged and writes no tombstone."""
TRUE, FALSE = b"\x00\x00\x00\x01\x01", b"\x00\x00\x00\x01\x00"

_PREPARED = Struct(">BH")
_COUNT = Struct(">H")
_PREFIX_BYTES = _PREPARED.size + 16  # up to the end of the statement's id, which is an MD5
_BEGIN = Struct(">BH")  # type, rows
_END = Struct(">HB")  # consistency, flags
_LENGTH = Struct(">i")
_LONG = Struct(">iq")


def longs(count: int) -> Struct:
    """A struct for `count` bigint columns: `longs(2).pack(8, a, 8, b)`."""
    return Struct(">" + "iq" * count)


def long(value: int | None, if_none: bytes = NULL) -> bytes:
    return if_none if value is None else _LONG.pack(8, value)


def text(value: str | None, if_none: bytes = NULL) -> bytes:
    if value is None:
        return if_none
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


cached_text = lru_cache(maxsize=4096)(text)
"""For texts with few distinct values: a symbol, a side, a kind."""


def blob(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def statement_header(query_id: bytes, columns: int) -> bytes:
    """The bytes before the values of a prepared statement in a batch."""
    return _PREPARED.pack(1, len(query_id)) + query_id + _COUNT.pack(columns)


def row_prefix(query_id: bytes) -> bytes:
    """The first bytes of every row of a prepared statement; they identify the statement."""
    return statement_header(query_id, 0)[:_PREFIX_BYTES]


def routing_key(*parts: bytes) -> bytes:
    """The serialized partition key, from which the driver computes the token."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(_COUNT.pack(len(part)) + part + b"\x00" for part in parts)


class PackedBatch(BatchStatement):  # type: ignore[misc] # ships no types
    """Rows of one partition, each a `statement_header` and the serialized values."""

    def __init__(self, key: bytes, rows: list[bytes], name: str) -> None:
        super().__init__(BatchType.UNLOGGED)
        self._statements_and_parameters = rows
        self._routing_key = key
        self.is_idempotent = True
        self.name = name  # for the log


class PackedBatchMessage(BatchMessage):  # type: ignore[misc] # ships no types
    """The driver's batch message in version 4 of the protocol, with rows that are serialized already.

    The rows carry their own timestamps, so the message has none.
    """

    def send_body(self, f: Any, protocol_version: int, protocol_features: Any = None) -> None:
        f.write(_BEGIN.pack(self.batch_type.value, len(self.queries)))
        f.write(b"".join(self.queries))
        f.write(_END.pack(self.consistency_level, 0))


class PackingHandler(ProtocolHandler):  # type: ignore[misc] # ships no types
    """The protocol handler of a session that sends only `PackedBatch` batches."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **options: Any) -> Any:
        if isinstance(msg, BatchMessage):
            msg = PackedBatchMessage(msg.batch_type, msg.queries, msg.consistency_level)
        return super().encode_message(msg, *args, **options)


class Outbox:
    """Rows to write, grouped by partition; `batches` splits them into batches of bounded size."""

    def __init__(self) -> None:
        self.rows: dict[bytes, list[bytes]] = {}

    def add(self, key: bytes, row: bytes) -> None:
        rows = self.rows.get(key)
        if rows is None:
            self.rows[key] = [row]
        else:
            rows.append(row)

    def counts(self) -> Counter[bytes]:
        """The number of rows of each statement, by `row_prefix`."""
        return Counter(row[:_PREFIX_BYTES] for rows in self.rows.values() for row in rows)

    def batches(self, name: str) -> Iterator[PackedBatch]:
        for key, rows in self.rows.items():
            for chunk in _chunks(rows):
                yield PackedBatch(key, chunk, name)


def _chunks(rows: list[bytes]) -> Iterator[list[bytes]]:
    if len(rows) <= MAX_ROWS and sum(map(len, rows)) <= MAX_BYTES:
        yield rows
        return
    chunk: list[bytes] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == MAX_ROWS or size + len(row) > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row)
    yield chunk

"""The table `blocks_by_hash`: its rows, and filling it for a keyspace of a version that did not have it."""

from collections.abc import Callable, Iterable, Iterator

from matching.core.hashes import hash_text
from settlement.stores.base import Checkpoint
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import PackedBatch, long, routing_key, statement_header, text
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import int_value
from settlement.stores.scylla.keys import BLOCKS_PER_BUCKET

_TIME = 1
"""A row says the same whoever writes it and when."""


def hash_batches(header: bytes, hashes: Iterable[tuple[int, str]]) -> Iterator[PackedBatch]:
    """One batch for each (number, hash). `header`: that of the statement, with the shard."""
    for number, digest in hashes:
        key = text(digest)
        row = b"".join((header, key, long(number), long(_TIME)))
        yield PackedBatch(routing_key(header[-4:], key[4:]), [row], "INSERT INTO blocks_by_hash")


class BlockHashes:
    def __init__(self, session: Session, shard: int, appended: Callable[[], Checkpoint]) -> None:
        self._session = session
        self._shard = shard
        self._appended = appended

    def fill(self) -> None:
        """Writes the rows of all stored blocks, unless they are there.

        From the newest bucket to the oldest, so that the row of block 1 is written last and tells that all are there,
        also if this was interrupted. Other processes may append meanwhile: they write the rows of their blocks.
        """
        first = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, 0, 1))
        digest = first[1] if first else hash_text(0)
        is_filled = self._session.rows(cql.BLOCK_NUMBERS_OF_HASH, (self._shard, digest))  # fails without the table
        if first is None or is_filled:
            return
        newest = self._appended().block_number
        statement = cql.PUT_BLOCK_HASH
        header = statement_header(self._session.query_id(statement), cql.width(statement)) + int_value(self._shard)
        for bucket in range(newest // BLOCKS_PER_BUCKET, -1, -1):
            rows = self._session.rows(cql.BLOCK_HASHES_IN_BUCKET, (self._shard, bucket))
            of_first = [row for row in rows if row[0] == 1]
            self._session.send(hash_batches(header, (row for row in rows if row[0] != 1)))
            self._session.send(hash_batches(header, of_first))

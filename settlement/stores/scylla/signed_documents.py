"""Documents that the store keeps without understanding them: the key register and signed checkpoints."""

from collections.abc import Iterator

from settlement.stores.base import StoredCheckpoint, StoredRegister
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.keys import BLOCKS_PER_CHECKPOINT_BUCKET

_FILLED = ""
"""In place of a digest, for the row that is written last."""


class SignedDocuments:
    """A part of the store; the other part makes session and shard."""

    _session: Session
    _shard: int

    def key_register(self) -> StoredRegister | None:
        row = self._session.one(cql.KEY_REGISTER, (self._shard,))
        return StoredRegister(row[0], row[1].encode()) if row else None

    def put_key_register(self, register: StoredRegister, *, replaces: int | None) -> bool:
        statement = cql.ADD_KEY_REGISTER if replaces is None else cql.REPLACE_KEY_REGISTER
        expected = () if replaces is None else (replaces,)
        values = register.serial, register.document.decode("ascii"), self._shard, *expected
        row = self._session.one(statement, values)
        return bool(row and row[0])

    def put_signed_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        number, signer, document = checkpoint
        bucket = number // BLOCKS_PER_CHECKPOINT_BUCKET
        if checkpoint.digest:
            self._session.run(cql.PUT_CHECKPOINT_DIGEST, (self._shard, checkpoint.digest, number))
        self._session.run(cql.PUT_SIGNED_CHECKPOINT, (self._shard, bucket, number, signer, document.decode("ascii")))

    def signed_checkpoints(self, last: int) -> Iterator[StoredCheckpoint]:
        for bucket in range(last // BLOCKS_PER_CHECKPOINT_BUCKET, -1, -1):
            for number, signer, document in self._session.iterate(cql.SIGNED_CHECKPOINTS, (self._shard, bucket, last)):
                yield StoredCheckpoint(number, signer, document.encode())

    def checkpoints_of_digest(self, digest: str) -> list[StoredCheckpoint]:
        if not digest:
            return []
        numbers = [number for (number,) in self._session.rows(cql.BLOCK_NUMBERS_OF_DIGEST, (self._shard, digest))]
        keys = [(self._shard, number // BLOCKS_PER_CHECKPOINT_BUCKET, number) for number in numbers]
        rows = [row for found in self._session.many(cql.CHECKPOINTS_OF_BLOCK, keys) for row in found]
        found = [StoredCheckpoint(number, signer, document.encode()) for number, signer, document in rows]
        return sorted((one for one in found if one.digest == digest), reverse=True)

    def fill_digests(self, last: int) -> None:
        """Writes the digests of the checkpoints up to block `last`, unless an earlier call has completed that."""
        if self._session.rows(cql.BLOCK_NUMBERS_OF_DIGEST, (self._shard, _FILLED)):  # fails without the table
            return
        found = ((self._shard, one.digest, one.block_number) for one in self.signed_checkpoints(last) if one.digest)
        self._session.run_many(cql.PUT_CHECKPOINT_DIGEST, found)
        self._session.run(cql.PUT_CHECKPOINT_DIGEST, (self._shard, _FILLED, 0))

    def drop_signed_checkpoints(self, first: int, last: int) -> None:
        for bucket in range(first // BLOCKS_PER_CHECKPOINT_BUCKET, last // BLOCKS_PER_CHECKPOINT_BUCKET + 1):
            self._session.run(cql.DROP_SIGNED_CHECKPOINTS, (self._shard, bucket, first, last))

"""Documents that the store keeps without understanding them: the key register and signed checkpoints."""

from collections.abc import Iterator

from settlement.stores.base import StoredCheckpoint, StoredRegister
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.keys import BLOCKS_PER_CHECKPOINT_BUCKET


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
        self._session.run(cql.PUT_SIGNED_CHECKPOINT, (self._shard, bucket, number, signer, document.decode("ascii")))

    def signed_checkpoints(self, last: int) -> Iterator[StoredCheckpoint]:
        for bucket in range(last // BLOCKS_PER_CHECKPOINT_BUCKET, -1, -1):
            for number, signer, document in self._session.iterate(cql.SIGNED_CHECKPOINTS, (self._shard, bucket, last)):
                yield StoredCheckpoint(number, signer, document.encode())

    def drop_signed_checkpoints(self, first: int, last: int) -> None:
        for bucket in range(first // BLOCKS_PER_CHECKPOINT_BUCKET, last // BLOCKS_PER_CHECKPOINT_BUCKET + 1):
            self._session.run(cql.DROP_SIGNED_CHECKPOINTS, (self._shard, bucket, first, last))

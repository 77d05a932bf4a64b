"""Signed checkpoints, which the store keeps and does not understand."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class StoredCheckpoint(NamedTuple):
    block_number: int
    signer: str
    """Role and name of the signing key, as `settlement-local`."""
    document: bytes
    """As `matching.transport.signed_checkpoints` signs it. Whoever can write to the store can change it, so it is
    verified by its readers, and the other columns are not believed."""


class SignedCheckpointStore(Protocol):
    def put_signed_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Writes the row of this block and signer; repeating the call changes nothing."""

    def signed_checkpoints(self, last: int) -> Iterator[StoredCheckpoint]:
        """Yields those of blocks up to `last`, newest first, reading a few at a time."""

    def drop_signed_checkpoints(self, first: int, last: int) -> None:
        """Deletes those of blocks `first` to `last`, which are no longer part of the chain."""

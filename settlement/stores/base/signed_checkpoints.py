"""Signed checkpoints, which the store keeps, and of which it understands only the digest that they are found by."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

_HEXADECIMAL = re.compile("[0-9a-f]{16}|[0-9a-f]{64}")


class StoredCheckpoint(NamedTuple):
    block_number: int
    signer: str
    """Role and name of the signing key, as `settlement-local`."""
    document: bytes
    """As `matching.transport.signed_checkpoints` signs it. Whoever can write to the store can change it, so it is
    verified by its readers, and the other columns are not believed."""

    @property
    def digest(self) -> str:
        """The chain digest that the document states, 64 hexadecimal digits; "" for a text that states none."""
        return self._stated("digest")

    @property
    def state_hash(self) -> str:
        """The hash of the block, 16 hexadecimal digits; "" as for `digest`."""
        return self._stated("state_hash")

    def _stated(self, name: str) -> str:
        try:
            found = json.loads(self.document)["checkpoint"][name]
        except (ValueError, KeyError, TypeError):
            return ""
        return found if isinstance(found, str) and _HEXADECIMAL.fullmatch(found) else ""


class SignedCheckpointStore(Protocol):
    def put_signed_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Writes the row of this block and signer; repeating the call changes nothing."""

    def signed_checkpoints(self, last: int) -> Iterator[StoredCheckpoint]:
        """Yields those of blocks up to `last`, newest first, reading a few at a time."""

    def checkpoints_of_digest(self, digest: str) -> list[StoredCheckpoint]:
        """Those that state this chain digest, newest first."""

    def drop_signed_checkpoints(self, first: int, last: int) -> None:
        """Deletes those of blocks `first` to `last`, which are no longer part of the chain."""

"""A block: the unit of sequencing, replication, hashing, publishing and settlement.

Bytes: BLOCK_HEADER, then REQUEST, COMMAND and EVENT records, then the strings that commands refer to. A `Block` keeps
the bytes it was decoded from; its arrays are views of them, not copies.
"""

import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import xxhash

from matching.core import layout, migrations
from matching.core.errors import BadBlock, HashMismatch
from matching.core.hashes import hash_text
from matching.core.texts import SEPARATOR

Records = npt.NDArray[np.void]

_HEADER = struct.Struct("<IIIIqqqqIIIIQQ")
_BEFORE_HASH = struct.Struct("<IIIIqqqqIIIIQ")
_HASH = struct.Struct("<Q")
_HASH_OFFSET = layout.BLOCK_HEADER.fields["hash"][1]  # type: ignore[index]
_NO_HASH = bytes(_HASH.size)
assert _HEADER.size == layout.BLOCK_HEADER.itemsize
assert _BEFORE_HASH.size == _HASH_OFFSET == _HEADER.size - _HASH.size


@dataclass
class Block:
    """One block, decoded without a copy. Build it with `decode` or `encode`."""

    data: bytes
    layout_version: int
    shard: int
    epoch: int
    number: int
    timestamp_ns: int
    first_command_sequence: int
    first_event_sequence: int
    request_count: int
    command_count: int
    event_count: int
    text_size: int
    prev_hash: int
    hash: int
    origin: str = field(default="", compare=False, repr=False)
    """The replica that sent this copy; not part of the block."""

    @classmethod
    def encode(
        cls,
        *,
        number: int,
        timestamp_ns: int,
        first_command_sequence: int,
        first_event_sequence: int,
        prev_hash: int,
        requests: Records,
        commands: Records,
        events: Records,
        texts: bytes,
        shard: int = 0,
        epoch: int = 1,
        layout_version: int = layout.LAYOUT_VERSION,
    ) -> Self:
        """Builds a block from its records and computes its hash. `texts` is padded to a multiple of 8 bytes.

        The records are those of today's layout. A block of an earlier one holds them in the form of that layout.
        """
        texts += bytes(-len(texts) % 8)
        requests = migrations.write_requests(requests, layout_version)
        fields = (
            layout.BLOCK_MAGIC,
            layout_version,
            shard,
            epoch,
            number,
            timestamp_ns,
            first_command_sequence,
            first_event_sequence,
            len(requests),
            len(commands),
            len(events),
            len(texts),
            prev_hash,
        )
        before_hash = _BEFORE_HASH.pack(*fields)
        body: tuple[Any, ...] = (requests, commands, events, texts)
        hasher = xxhash.xxh3_64(before_hash + _NO_HASH)
        for part in body:
            hasher.update(part)
        digest = hasher.intdigest()
        return cls(b"".join((before_hash, _HASH.pack(digest), *body)), *fields[1:], digest)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Reads a block's header and checks its sizes; `verify` checks the hash. Raises BadBlock."""
        data = bytes(data)
        if len(data) < _HEADER.size:
            raise BadBlock(f"A block has at least {_HEADER.size} bytes, but these are {len(data)}.")
        magic, *fields = _HEADER.unpack_from(data)
        if magic != layout.BLOCK_MAGIC:
            raise BadBlock("These bytes are not a block: they do not begin with the magic number.")
        if not migrations.is_readable(fields[0]):
            raise BadBlock(
                f"This block has layout {fields[0]}, this program reads layouts {migrations.OLDEST_LAYOUT} to "
                f"{layout.LAYOUT_VERSION}."
            )
        block = cls(data, *fields)
        if len(data) != block._texts_at + block.text_size:
            size = block._texts_at + block.text_size
            raise BadBlock(
                f"Block {block.number} should have {size} bytes but has {len(data)}: it is truncated or damaged."
            )
        return block

    def verify(self, number: int, prev_hash: int) -> None:
        """Checks the block's number, its hash, and that it continues the chain. Raises HashMismatch."""
        if self.number != number:
            raise HashMismatch(f"Expected block {number}, received block {self.number}.")
        if self.computed_hash() != self.hash:
            raise HashMismatch(
                f"Block {number} carries hash {hash_text(self.hash)}, but its bytes hash to "
                f"{hash_text(self.computed_hash())}."
            )
        if self.prev_hash != prev_hash:
            raise HashMismatch(
                f"Block {number} follows hash {hash_text(self.prev_hash)}, "
                f"but the chain's last hash is {hash_text(prev_hash)}."
            )

    def computed_hash(self) -> int:
        hasher = xxhash.xxh3_64(memoryview(self.data)[:_HASH_OFFSET])
        hasher.update(_NO_HASH)
        hasher.update(memoryview(self.data)[_HASH_OFFSET + _HASH.size :])
        return int(hasher.intdigest())

    @cached_property
    def requests(self) -> Records:
        """REQUEST[request_count] in today's form, read-only."""
        written = np.frombuffer(
            self.data, migrations.request_type(self.layout_version), self.request_count, _HEADER.size
        )
        return cast(Records, migrations.read_requests(written, self.layout_version))

    @cached_property
    def commands(self) -> Records:
        """COMMAND[command_count], read-only."""
        return np.frombuffer(self.data, layout.COMMAND, self.command_count, self._commands_at)

    @cached_property
    def events(self) -> Records:
        """EVENT[event_count] in the form of the block's layout, read-only."""
        return np.frombuffer(self.data, migrations.event_type(self.layout_version), self.event_count, self._events_at)

    @cached_property
    def texts(self) -> bytes:
        return self.data[self._texts_at :]

    def text(self, command: Any) -> str:
        """The first string of one command of this block: client order id, reference, definition; "" if it has none."""
        return self.strings(command)[0]

    def strings(self, command: Any) -> tuple[str, str]:
        """Both strings of one command of this block, "" for one that it does not have (see layout.COMMAND)."""
        offset = int(command["text_offset"])
        first, _, second = self.texts[offset : offset + int(command["text_length"])].partition(SEPARATOR)
        return first.decode("ascii"), second.decode("ascii")

    @property
    def last_command_sequence(self) -> int:
        return self.first_command_sequence + self.command_count - 1

    @property
    def last_event_sequence(self) -> int:
        return self.first_event_sequence + self.event_count - 1

    @property
    def _commands_at(self) -> int:
        size = int(migrations.request_type(self.layout_version).itemsize)
        return _HEADER.size + self.request_count * size

    @property
    def _events_at(self) -> int:
        return self._commands_at + self.command_count * layout.COMMAND.itemsize

    @property
    def _texts_at(self) -> int:
        return self._events_at + self.event_count * layout.EVENT.itemsize

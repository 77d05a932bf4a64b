"""Blocks and epochs: who appends and who begins an epoch, without a transaction over both.

Each side leaves its own mark first and looks for the other's then, so at least one of two that race sees the other:

    append_blocks   blocks, `appended` checkpoint  ──▶  epochs, proposed ones too
    begin_epoch     proposed epoch                 ──▶  `appended` checkpoint  ──▶  begun, where still proposed

An epoch that is only proposed gives way to blocks that are there: whoever finds both (an append, or a reader of the
checkpoint) voids it, and a lightweight transaction on the epoch's row decides between that and its beginning. A block
that lost leaves rows behind: write times begin with the epoch, so that a newer epoch's block of the same number
takes their place in whatever order the two come, and `appended` does not count what an epoch overrules.
docs/decisions/0016-scylla-store.md has the argument in full.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import NOTHING_YET, Checkpoint, Fenced, Outrun, StoredBlock, StoreRejected, StoreUnavailable
from settlement.stores.block_parts import in_row, parts_of
from settlement.stores.continuity import refuse_gap
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import PackedBatch, blob, head, long, longs, routing_key, text
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import int_value
from settlement.stores.scylla.keys import BLOCKS, EPOCHS, block_stamp, head_stamp

_BLOCK = longs(8)
_PARTS_AT_ONCE = 4
"""Cassandra refuses a client that has more than a fortieth of its memory in requests under way."""


class _Known(NamedTuple):
    epoch: Epoch
    state: str  # proposed, begun or void


class Fences:
    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard
        self._appended_key = shard, "appended"
        self._since_s: int | None = None  # when this began to append, in seconds of 1970

    # Blocks

    def append(self, blocks: Sequence[StoredBlock]) -> None:
        oldest = min(block.epoch for block in blocks)
        heads, epochs = self._session.together(
            (cql.GET_CHECKPOINT, self._appended_key), (cql.EPOCHS_AFTER, (self._shard, oldest))
        )
        # Blocks that were fenced before shall leave nothing behind; this look alone would not fence a race.
        _refuse_fenced(blocks, [_known(row) for row in epochs])
        self._refuse_gap(_checkpoint(heads), blocks)
        self._put_blocks(blocks)
        last = blocks[-1]
        self._put_head(Checkpoint(last.number, last.hash, last.epoch))
        _refuse_fenced(blocks, self._settled(self._after(oldest), lambda epoch: bool(_fenced(blocks, epoch))))

    def _refuse_gap(self, written: Checkpoint, blocks: Sequence[StoredBlock]) -> None:
        """`written` may be what an epoch has overruled; blocks that follow on it are fenced then."""
        if (blocks[0].number, blocks[0].prev_hash) != (written.block_number + 1, written.hash):
            refuse_gap(self.settle_head(), blocks, self._hash_of)

    def _hash_of(self, number: int) -> int | None:
        row = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, number // BLOCKS, number))
        return hash_value(row[1]) if row else None

    def _put_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        """The parts of large blocks first: a block's row is written when the rest of it is there."""
        if self._since_s is None:
            self._since_s = int(time.time())
        with self._session.translating():  # a number that no column holds
            large = [block for block in blocks if in_row(block.data) != block.data]
            if large:
                parts = self._part_batches(self._top(cql.PUT_BLOCK_PART), large, self._since_s)
                self._session.send(parts, _PARTS_AT_ONCE)
            self._session.send(self._block_batches(self._top(cql.PUT_BLOCK), blocks, self._since_s))

    def _top(self, statement: str) -> bytes:
        return head(self._session.query_id(statement), cql.width(statement)) + int_value(self._shard)

    def _part_batches(self, top: bytes, blocks: Sequence[StoredBlock], since_s: int) -> Iterator[PackedBatch]:
        for block in blocks:
            digest, time = text(hash_text(block.hash)), long(block_stamp(block.epoch, since_s))
            for number, part, parts, data in parts_of(block):
                key = long(number), digest, int_value(part)
                row = b"".join((top, *key, int_value(parts), blob(data), time))
                where = routing_key(top[-4:], *(value[4:] for value in key))
                yield PackedBatch(where, [row], "INSERT INTO engine_block_parts")

    def _block_batches(self, top: bytes, blocks: Sequence[StoredBlock], since_s: int) -> Iterator[PackedBatch]:
        """One for each block: they are large."""
        for block in blocks:
            bucket = long(block.number // BLOCKS)
            numbers = (block.number, *block[3:-1])
            values = _BLOCK.pack(*(part for number in numbers for part in (8, number)))
            texts = text(hash_text(block.hash)) + text(hash_text(block.prev_hash)) + blob(in_row(block.data))
            row = b"".join((top, bucket, values, texts, long(block_stamp(block.epoch, since_s))))
            yield PackedBatch(routing_key(top[-4:], bucket[4:]), [row], "INSERT INTO engine_blocks")

    def _put_head(self, checkpoint: Checkpoint) -> None:
        number, digest, epoch = checkpoint
        time = head_stamp(epoch, number)
        self._session.run(cql.PUT_CHECKPOINT, (self._shard, "appended", number, hash_text(digest), epoch, 0, time))

    # The checkpoint

    def settle_head(self) -> Checkpoint:
        """The last block that counts. No mere read: it voids a proposed epoch that would take back what is told here.

        Whoever asks does so, a web page too.
        """
        found = self.written_head()
        if found == NOTHING_YET:
            return found
        after = self._settled(self._after(found.epoch), lambda epoch: epoch.first_block <= found.block_number)
        return self._counted(found, after)

    def written_head(self) -> Checkpoint:
        """The last block that was written; an epoch may have overruled it."""
        return _checkpoint(self._session.rows(cql.GET_CHECKPOINT, self._appended_key))

    def _counted(self, found: Checkpoint, after: Sequence[_Known]) -> Checkpoint:
        """The checkpoint, or the last block before the epoch that overrules it: an append lost against it."""
        first = min((known.epoch.first_block for known in after if known.state == "begun"), default=None)
        if first is None or first > found.block_number:
            return found
        if first == 1:
            return NOTHING_YET
        row = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, (first - 1) // BLOCKS, first - 1))
        if row is None:
            raise StoreRejected(f"The store does not hold block {first - 1}, but a later one: run verify_settlement.")
        return Checkpoint(first - 1, hash_value(row[1]), row[3])

    # Epochs

    def epochs(self) -> list[Epoch]:
        rows = self._session.rows(cql.EPOCHS, (self._shard,))
        return [known.epoch for known in map(_known, rows) if known.state == "begun"]

    def begin(self, epoch: Epoch) -> None:
        if epoch.number > EPOCHS:
            raise StoreRejected(f"Epoch {epoch.number} cannot begin: this store knows {EPOCHS}.")
        newest = self._propose(epoch)
        if newest == epoch:
            return
        head = self.written_head()
        head = self._counted(head, self._after(head.epoch))
        try:
            _refuse_outrun(head, epoch)
        except Outrun:
            self._apply(cql.VOID, (self._shard, epoch.number, *_identity(epoch)))
            raise
        number = newest.number if newest else None
        if not self._apply(cql.BEGIN, (epoch.number, self._shard, epoch.number, number, *_identity(epoch))):
            self._explain_defeat(epoch)

    def _propose(self, epoch: Epoch) -> Epoch | None:
        """Leaves the mark; the newest epoch that has begun. Raises Fenced where one begun is in the way."""
        known = self._all()
        begun = [one.epoch for one in known.values() if one.state == "begun"]
        newest = max(begun, default=None)
        if newest == epoch:
            return newest
        _refuse_older(newest, epoch)
        there = known.get(epoch.number)
        if there is None:
            applied = self._apply(cql.PROPOSE, (self._shard, epoch.number, *_identity(epoch)))
        elif there == _Known(epoch, "proposed"):
            applied = True  # by an earlier call of ours that had no answer
        else:
            # Void, or of an engine that may be gone: it notices when it begins.
            place = (self._shard, epoch.number, there.state)
            applied = self._apply(cql.PROPOSE_AGAIN, (*_identity(epoch), *place, *_identity(there.epoch)))
        if not applied:
            raise StoreUnavailable(f"Another engine begins epoch {epoch.number} at this moment.")
        return newest

    def _explain_defeat(self, epoch: Epoch) -> None:
        """Raises what happened to a proposed epoch that could not begin; returns where it has begun all the same."""
        known = self._all()
        newest = max((one.epoch for one in known.values() if one.state == "begun"), default=None)
        if newest == epoch:
            return
        _refuse_older(newest, epoch)
        there = known.get(epoch.number)
        if there == _Known(epoch, "void"):
            raise Outrun(f"The store took a block meanwhile: no epoch begins with {epoch.first_block}.")
        raise StoreUnavailable(f"Another engine begins epoch {epoch.number} at this moment.")

    def _settled(self, after: Sequence[_Known], matters: Callable[[Epoch], bool]) -> list[_Known]:
        """As they are once no proposed epoch that matters can begin any more, unless it has."""
        if not any(known.state == "proposed" and matters(known.epoch) for known in after):
            return list(after)
        for known in after:
            if known.state == "proposed" and matters(known.epoch):
                self._apply(cql.VOID, (self._shard, known.epoch.number, *_identity(known.epoch)))
        number = min(known.epoch.number for known in after)
        return self._settled([one for one in self._all().values() if one.epoch.number >= number], matters)

    def _after(self, number: int) -> list[_Known]:
        return [_known(row) for row in self._session.rows(cql.EPOCHS_AFTER, (self._shard, number))]

    def _all(self) -> dict[int, _Known]:
        """By number, as they are once every transaction on them that had no answer is decided."""
        rows = self._session.rows(cql.EPOCHS, (self._shard,), is_serial=True)
        return {known.epoch.number: known for known in map(_known, rows)}

    def _apply(self, statement: str, values: Sequence[Any]) -> bool:
        """A lightweight transaction; whether its condition held."""
        row = self._session.one(statement, values)
        return bool(row and row[0])


def _fenced(blocks: Sequence[StoredBlock], epoch: Epoch) -> list[StoredBlock]:
    return [block for block in blocks if block.epoch < epoch.number and block.number >= epoch.first_block]


def _refuse_fenced(blocks: Sequence[StoredBlock], after: Sequence[_Known]) -> None:
    for known in after:
        for block in _fenced(blocks, known.epoch) if known.state == "begun" else ():
            raise Fenced(
                f"Block {block.number} is of epoch {block.epoch}, but epoch {known.epoch.number} has begun with "
                f"block {known.epoch.first_block}: the engine that made it was replaced."
            )


def _refuse_older(newest: Epoch | None, epoch: Epoch) -> None:
    if newest is not None and newest.number >= epoch.number:
        raise Fenced(f"Epoch {newest.number} has begun already, at {newest.commands}.")


def _refuse_outrun(head: Checkpoint, epoch: Epoch) -> None:
    if head.block_number >= epoch.first_block:
        raise Outrun(f"The store holds block {head.block_number}: no epoch begins with {epoch.first_block}.")
    if head.block_number == epoch.first_block - 1 and head.hash != epoch.prev_hash:
        raise Outrun(f"The store holds another block {head.block_number} than the engine that begins an epoch.")


def _identity(epoch: Epoch) -> tuple[Any, ...]:
    return epoch.first_block, hash_text(epoch.prev_hash), *epoch[3:]


def _checkpoint(rows: Sequence[tuple[Any, ...]]) -> Checkpoint:
    return Checkpoint(rows[0][0], hash_value(rows[0][1]), rows[0][2]) if rows else NOTHING_YET


def _known(row: tuple[Any, ...]) -> _Known:
    number, first_block, prev_hash, *rest, state, _ = row
    return _Known(Epoch(number, first_block, hash_value(prev_hash), *rest), state)

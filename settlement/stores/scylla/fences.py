"""Fencing: appending blocks and beginning an epoch exclude each other without a transaction that spans both.

Each side first writes its own record and then reads the other side's, so at least one of two that race sees the other:

    append_blocks   blocks, `appended` checkpoint  ──▶  epochs, proposed ones too
    begin_epoch     proposed epoch                 ──▶  `appended` checkpoint  ──▶  begun, if still proposed

A proposed epoch yields to blocks that are stored: an append or a reader of the checkpoint that finds both voids the
epoch. A lightweight transaction on the epoch's row decides between voiding it and beginning it. A fenced block can
leave rows behind. The high bits of a write time are the epoch, so a newer epoch's block with the same number replaces
these rows whatever the order of the two writes, and `appended` excludes blocks that an epoch overrules.
docs/decisions/0016-scylla-store.md has the full argument.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import NOTHING_YET, Checkpoint, Outrun, StoredBlock, StoreRejected, StoreUnavailable
from settlement.stores.block_parts import in_row, parts_of
from settlement.stores.continuity import refuse_fenced, refuse_gap, refuse_older_epoch, refuse_outrun
from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.batches import PackedBatch, blob, long, longs, routing_key, statement_header, text
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.index import int_value
from settlement.stores.scylla.keys import BLOCKS_PER_BUCKET, MAX_EPOCH, block_stamp, head_stamp
from settlement.stores.scylla.write.block_hashes import hash_batches

_BLOCK = longs(8)
_ATTEMPTS = 5
_PARTS_IN_FLIGHT = 4
"""Cassandra rejects a client whose requests in flight take more than 1/40 of the server's heap."""


class _EpochRow(NamedTuple):
    epoch: Epoch
    state: str  # proposed, begun or void


class Fences:
    def __init__(self, session: Session, shard: int) -> None:
        self._session = session
        self._shard = shard
        self._appended_key = shard, "appended"
        self._since_s: int | None = None  # time of the first append of this object, Unix seconds

    # Blocks

    def append(self, blocks: Sequence[StoredBlock]) -> None:
        oldest = min(block.epoch for block in blocks)
        heads, epochs = self._session.rows_concurrently(
            (cql.GET_CHECKPOINT, self._appended_key), (cql.EPOCHS_AFTER, (self._shard, oldest))
        )
        # Blocks that are fenced already must leave no rows behind. A race is decided by the check after the writes.
        _refuse_fenced(blocks, [_epoch_row(row) for row in epochs])
        self._refuse_gap(_checkpoint(heads), blocks)
        self._put_blocks(blocks)
        last = blocks[-1]
        self._put_head(Checkpoint(last.number, last.hash, last.epoch))
        _refuse_fenced(
            blocks, self._resolve_proposals(self._epochs_after(oldest), lambda epoch: _would_fence(blocks, epoch))
        )

    def _refuse_gap(self, written: Checkpoint, blocks: Sequence[StoredBlock]) -> None:
        """Accepts blocks that continue `written`, even if an epoch overrules it: `append` refuses those as fenced."""
        if (blocks[0].number, blocks[0].prev_hash) != (written.block_number + 1, written.hash):
            refuse_gap(self.resolved_head(), blocks, self._hash_of)

    def _hash_of(self, number: int) -> int | None:
        row = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, number // BLOCKS_PER_BUCKET, number))
        return hash_value(row[1]) if row else None

    def _put_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        """Writes the parts of large blocks first: a block's own row is written when all its parts are stored."""
        if self._since_s is None:
            self._since_s = int(time.time())
        with self._session.translating():  # struct.error for a number that does not fit its column
            large = [block for block in blocks if in_row(block.data) != block.data]
            if large:
                parts = self._part_batches(self._row_header(cql.PUT_BLOCK_PART), large, self._since_s)
                self._session.send(parts, _PARTS_IN_FLIGHT)
            hashes = ((block.number, hash_text(block.hash)) for block in blocks)
            self._session.send(
                [
                    *hash_batches(self._row_header(cql.PUT_BLOCK_HASH), hashes),
                    *self._block_batches(self._row_header(cql.PUT_BLOCK), blocks, self._since_s),
                ]
            )

    def _row_header(self, statement: str) -> bytes:
        return statement_header(self._session.query_id(statement), cql.width(statement)) + int_value(self._shard)

    def _part_batches(self, header: bytes, blocks: Sequence[StoredBlock], since_s: int) -> Iterator[PackedBatch]:
        for block in blocks:
            digest, time = text(hash_text(block.hash)), long(block_stamp(block.epoch, since_s))
            for number, part, parts, data in parts_of(block):
                key = long(number), digest, int_value(part)
                row = b"".join((header, *key, int_value(parts), blob(data), time))
                where = routing_key(header[-4:], *(value[4:] for value in key))
                yield PackedBatch(where, [row], "INSERT INTO engine_block_parts")

    def _block_batches(self, header: bytes, blocks: Sequence[StoredBlock], since_s: int) -> Iterator[PackedBatch]:
        """One batch for each block, because blocks are large."""
        for block in blocks:
            bucket = long(block.number // BLOCKS_PER_BUCKET)
            numbers = (block.number, *block[3:-1])
            values = _BLOCK.pack(*(part for number in numbers for part in (8, number)))
            texts = text(hash_text(block.hash)) + text(hash_text(block.prev_hash)) + blob(in_row(block.data))
            row = b"".join((header, bucket, values, texts, long(block_stamp(block.epoch, since_s))))
            yield PackedBatch(routing_key(header[-4:], bucket[4:]), [row], "INSERT INTO engine_blocks")

    def _put_head(self, checkpoint: Checkpoint) -> None:
        number, digest, epoch = checkpoint
        time = head_stamp(epoch, number)
        self._session.run(cql.PUT_CHECKPOINT, (self._shard, "appended", number, hash_text(digest), epoch, 0, time))

    # The checkpoint

    def resolved_head(self) -> Checkpoint:
        """The last block that no epoch overrules.

        This also writes: it voids a proposed epoch that could later overrule the result. Every caller does so, also
        a web page.
        """
        found = self.written_head()
        if found == NOTHING_YET:
            return found
        after = self._resolve_proposals(
            self._epochs_after(found.epoch), lambda epoch: epoch.first_block <= found.block_number
        )
        return self._without_overruled(found, after)

    def written_head(self) -> Checkpoint:
        """The last block that was written, which an epoch may overrule."""
        return _checkpoint(self._session.rows(cql.GET_CHECKPOINT, self._appended_key))

    def _without_overruled(self, found: Checkpoint, after: Sequence[_EpochRow]) -> Checkpoint:
        """`found`, or the last block before the epoch that overrules it, if `found` is of a fenced append."""
        first = min((known.epoch.first_block for known in after if known.state == "begun"), default=None)
        if first is None or first > found.block_number:
            return found
        if first == 1:
            return NOTHING_YET
        row = self._session.one(cql.GET_BLOCK_HEAD, (self._shard, (first - 1) // BLOCKS_PER_BUCKET, first - 1))
        if row is None:
            raise StoreRejected(f"The store lacks block {first - 1} but has later blocks: run verify_settlement.")
        return Checkpoint(first - 1, hash_value(row[1]), row[3])

    # Epochs

    def epochs(self) -> list[Epoch]:
        rows = self._session.rows(cql.EPOCHS, (self._shard,))
        return [known.epoch for known in map(_epoch_row, rows) if known.state == "begun"]

    def begin(self, epoch: Epoch) -> None:
        if epoch.number > MAX_EPOCH:
            raise StoreRejected(f"Epoch {epoch.number} cannot begin: the highest epoch of this store is {MAX_EPOCH}.")
        newest = self._propose(epoch)
        if newest == epoch:
            return
        head = self.written_head()
        head = self._without_overruled(head, self._epochs_after(head.epoch))
        try:
            refuse_outrun(head, epoch)
        except Outrun:
            self._apply(cql.VOID, (self._shard, epoch.number, *_identity(epoch)))
            raise
        self._begin_proposed(epoch, newest)

    def _begin_proposed(self, epoch: Epoch, newest: Epoch | None) -> None:
        number = newest.number if newest else None
        if not self._apply(cql.BEGIN, (epoch.number, self._shard, epoch.number, number, *_identity(epoch))):
            self._raise_lost_race(epoch)

    def replace(self, batches: Iterable[Sequence[StoredBlock]], epoch: Epoch) -> None:
        """`BlockStore.replace_blocks`: the rows of removed blocks stay, but the epoch overrules them.

        A block that replaces one of the same epoch needs a later write time, and the process that wrote the other one
        may have begun to append in this second.
        """
        self._since_s = int(time.time()) + 1
        for blocks in batches:
            self._put_blocks(blocks)
            self._put_head(blocks[-1].checkpoint)
        for attempt in Retrying(
            retry=retry_if_exception_type(Outrun), stop=stop_after_attempt(_ATTEMPTS), reraise=True
        ):  # a reader of the checkpoint voids a proposal that would overrule what it reads
            with attempt:
                newest = self._propose(epoch)
                if newest != epoch:
                    self._begin_proposed(epoch, newest)

    def _propose(self, epoch: Epoch) -> Epoch | None:
        """Writes the proposal; returns the newest epoch that has begun. Raises Fenced if that one is not older."""
        known = self._all_epochs()
        begun = [one.epoch for one in known.values() if one.state == "begun"]
        newest = max(begun, default=None)
        if newest == epoch:
            return newest
        refuse_older_epoch(newest, epoch)
        existing = known.get(epoch.number)
        if existing is None:
            applied = self._apply(cql.PROPOSE, (self._shard, epoch.number, *_identity(epoch)))
        elif existing == _EpochRow(epoch, "proposed"):
            applied = True  # by an earlier call that got no answer
        else:
            # Void, or proposed by another engine, which then fails to begin its epoch.
            place = (self._shard, epoch.number, existing.state)
            applied = self._apply(cql.PROPOSE_AGAIN, (*_identity(epoch), *place, *_identity(existing.epoch)))
        if not applied:
            raise StoreUnavailable(f"Another engine is beginning epoch {epoch.number} at the same time.")
        return newest

    def _raise_lost_race(self, epoch: Epoch) -> None:
        """Raises the reason why a proposed epoch could not begin; returns if it did begin."""
        known = self._all_epochs()
        newest = max((one.epoch for one in known.values() if one.state == "begun"), default=None)
        if newest == epoch:
            return
        refuse_older_epoch(newest, epoch)
        existing = known.get(epoch.number)
        if existing == _EpochRow(epoch, "void"):
            raise Outrun(f"A block was stored meanwhile: no epoch can begin with block {epoch.first_block}.")
        raise StoreUnavailable(f"Another engine is beginning epoch {epoch.number} at the same time.")

    def _resolve_proposals(self, after: Sequence[_EpochRow], matters: Callable[[Epoch], bool]) -> list[_EpochRow]:
        """Voids the proposed epochs that `matters` selects, unless they begin first; returns the epochs afterwards."""
        if not any(known.state == "proposed" and matters(known.epoch) for known in after):
            return list(after)
        for known in after:
            if known.state == "proposed" and matters(known.epoch):
                self._apply(cql.VOID, (self._shard, known.epoch.number, *_identity(known.epoch)))
        number = min(known.epoch.number for known in after)
        return self._resolve_proposals(
            [one for one in self._all_epochs().values() if one.epoch.number >= number], matters
        )

    def _epochs_after(self, number: int) -> list[_EpochRow]:
        return [_epoch_row(row) for row in self._session.rows(cql.EPOCHS_AFTER, (self._shard, number))]

    def _all_epochs(self) -> dict[int, _EpochRow]:
        """By number, read serially: every lightweight transaction without an answer is decided first."""
        rows = self._session.rows(cql.EPOCHS, (self._shard,), is_serial=True)
        return {known.epoch.number: known for known in map(_epoch_row, rows)}

    def _apply(self, statement: str, values: Sequence[Any]) -> bool:
        """Runs a lightweight transaction; returns whether its condition held."""
        row = self._session.one(statement, values)
        return bool(row and row[0])


def _would_fence(blocks: Sequence[StoredBlock], epoch: Epoch) -> bool:
    return any(block.epoch < epoch.number and block.number >= epoch.first_block for block in blocks)


def _refuse_fenced(blocks: Sequence[StoredBlock], after: Sequence[_EpochRow]) -> None:
    for known in after:
        if known.state == "begun":
            refuse_fenced(blocks, epoch=known.epoch.number, first_block=known.epoch.first_block)


def _identity(epoch: Epoch) -> tuple[Any, ...]:
    return epoch.first_block, hash_text(epoch.prev_hash), *epoch[3:]


def _checkpoint(rows: Sequence[tuple[Any, ...]]) -> Checkpoint:
    return Checkpoint(rows[0][0], hash_value(rows[0][1]), rows[0][2]) if rows else NOTHING_YET


def _epoch_row(row: tuple[Any, ...]) -> _EpochRow:
    number, first_block, prev_hash, *rest, state, _ = row
    return _EpochRow(Epoch(number, first_block, hash_value(prev_hash), *rest), state)

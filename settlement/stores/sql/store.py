"""The store contract on Django's database connection: SQLite (embedded default) and PostgreSQL.

A batch and its checkpoint are written in one transaction, so rows are never ahead of the checkpoint. Rows are written
with upserts and `executemany` instead of the ORM, which would take more time than all the rest of settlement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from django.core.management import call_command
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from ledger.api import MAX_LEGS
from matching.core.epochs import Epoch
from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import (
    IDENTITY_BYTES,
    NOTHING_YET,
    WHOLE,
    Balance,
    Candle,
    Checkpoint,
    DeadLetter,
    Definition,
    Order,
    Projection,
    SingleInserts,
    StoredBlock,
    StoredCheckpoint,
    StoredRegister,
    StoreMisconfigured,
    StoreRejected,
    Tables,
    Transfer,
)
from settlement.stores.block_parts import in_row, parts_of
from settlement.stores.continuity import (
    refuse_fenced,
    refuse_gap,
    refuse_leap,
    refuse_older_epoch,
    refuse_other_anchor,
    refuse_outrun,
    refuse_release,
    refuse_released,
    refuse_skip,
)
from settlement.stores.sql import releases
from settlement.stores.sql import statements as sql
from settlement.stores.sql.entries import entries_of
from settlement.stores.sql.layout import missing
from settlement.stores.sql.lookups import SqlLookups, first_or_none, is_int64, upper_bound
from settlement.stores.sql.session import Row, Session
from settlement.stores.sql.turns import WriteTurns
from settlement.stores.sql.whole_columns import WholeColumns

T = TypeVar("T")

_INIT_ATTEMPTS = 5
_INIT_PAUSE_S = 1.0
_SHARD = 0
_MAX_TURN_S = 30.0
KEYS_PER_STATEMENT = 400
"""Databases limit the number of parameters of a statement."""

assert 1 << sql.LEG_BITS > MAX_LEGS


class SqlStore(SqlLookups, WholeColumns, SingleInserts):
    """One shard in one database. Raises StoreUnavailable and StoreRejected, as the contract defines."""

    is_atomic = True

    def __init__(
        self,
        alias: str = "default",
        slow_query_ms: float = 100,
        timeout_ms: int | None = None,
        evidence_of_loss: Callable[[], Path | None] = lambda: None,
        *,
        is_read_only: bool = False,
    ) -> None:
        """`timeout_ms` is the lock time-out; None: that of the database's settings.

        `evidence_of_loss`: a file which shows that the store existed, for the message about a missing database.
        `is_read_only`: see `read_only`.
        """
        self._session = Session(alias, slow_query_ms, timeout_ms, evidence_of_loss, is_read_only=is_read_only)
        self._turns = WriteTurns(_MAX_TURN_S if timeout_ms is None else timeout_ms / 1000)

    def connect(self) -> None:
        self._session.open()

    def close(self) -> None:
        self._session.close()

    def init(self) -> None:
        self._session.create_file()
        self._session.open()
        # Another process may make the same tables now: the next attempt finds what it has made.
        for attempt in Retrying(
            retry=retry_if_exception_type(StoreRejected),
            stop=stop_after_attempt(_INIT_ATTEMPTS),
            wait=wait_fixed(_INIT_PAUSE_S),
            reraise=True,
        ):
            with attempt, self._session.translating():
                call_command("migrate", database=self._session.alias, interactive=False, verbosity=0)
        with self._session.translating():
            lost = list(missing(self._session.open()))
        if lost:
            raise StoreMisconfigured(
                f"The database lacks {', '.join(lost)}, although its record of migrations says that everything was "
                "made: restore it from a copy, or give settlement an empty database."
            )

    def carry_over(self) -> None:
        """Migrations do it."""

    def ping(self) -> None:
        self.appended()

    # settlement writes

    def identity(self) -> bytes:
        known = self._identity()
        if known is None:
            with self._session.transaction():
                self._session.run(sql.PUT_IDENTITY, [_SHARD, token_hex(IDENTITY_BYTES)])
            known = self._identity()
        assert known is not None, "just made"
        return bytes.fromhex(known)

    def _identity(self) -> str | None:
        return first_or_none(identity for (identity,) in self._session.rows(sql.GET_IDENTITY, [_SHARD]))

    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        if not blocks:
            return
        first, last = blocks[0], blocks[-1]
        checkpoint = Checkpoint(last.number, last.hash, last.epoch)
        rows = [(b.number, hash_text(b.hash), hash_text(b.prev_hash), *b[3:-1], in_row(b.data)) for b in blocks]
        with self._turn(is_urgent=True), self._session.transaction():
            # The checkpoint first: its lock serializes this transaction and a concurrent `begin_epoch`.
            is_next = self._advance("appended", first.number - 1, first.prev_hash, checkpoint)
            head = checkpoint if is_next else self._lock_checkpoint("appended")
            self._refuse_fenced(blocks)
            if not is_next:
                refuse_gap(head, blocks, self._hash_of)
            self._session.write("engine_blocks", sql.PUT_BLOCK, rows)
            for part in (part for block in blocks for part in parts_of(block)):
                self._session.write("engine_block_parts", sql.PUT_BLOCK_PART, [part])
            if last.number > head.block_number:
                self._put_checkpoint("appended", checkpoint)

    def _turn(self, *, is_urgent: bool) -> AbstractContextManager[None]:
        """PostgreSQL needs no turns: an append and a batch lock different rows."""
        return self._turns.turn(is_urgent=is_urgent) if self._session.has_one_writer else nullcontext()

    def _hash_of(self, number: int) -> int | None:
        return first_or_none(hash_value(digest) for (digest,) in self._session.rows(sql.GET_BLOCK_HASH, [number]))

    def _refuse_fenced(self, blocks: Sequence[StoredBlock]) -> None:
        oldest = min(block.epoch for block in blocks)
        for number, first_block in self._session.rows(sql.FENCES, [oldest, blocks[-1].number]):
            refuse_fenced(blocks, epoch=number, first_block=first_block)

    def begin_epoch(self, epoch: Epoch) -> None:
        with self._session.transaction():
            head = self._lock_checkpoint("appended")
            newest = max(self.epochs(), default=None)
            if newest == epoch:
                return
            refuse_older_epoch(newest, epoch)
            refuse_outrun(head, epoch)
            self._session.write("engine_epochs", sql.PUT_EPOCH, [_epoch_row(epoch)])

    def replace_blocks(self, first: int, batches: Iterable[Sequence[StoredBlock]], epoch: Epoch) -> None:
        with self._session.transaction():
            self._lock_checkpoint("appended")
            refuse_released(first, self.released())
            self._session.run(sql.DROP_BLOCKS, [first])
            self._session.run(sql.DROP_BLOCK_PARTS, [first])
            before = self.get_block(first - 1)
            self._put_checkpoint("appended", before.checkpoint if before else NOTHING_YET)
            for blocks in batches:
                self.append_blocks(blocks)
            self.begin_epoch(epoch)

    def epochs(self) -> list[Epoch]:
        return [Epoch._make((*row[:2], hash_value(row[2]), *row[3:])) for row in self._session.rows(sql.EPOCHS)]

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        with self._turn(is_urgent=False), self._session.transaction():
            if projection.slice != WHOLE:
                self._insert_slice(projection, follows)
                return
            checkpoint = projection.checkpoint
            is_next = follows is not None and self._advance("projected", follows[0], follows[1], checkpoint)
            at = checkpoint if is_next else self._lock_checkpoint("projected")
            if follows is not None:
                refuse_leap(projected=at, appended=self.appended(), batch=checkpoint, follows=follows)
            self._put_rows(projection)
            if checkpoint.block_number > at.block_number:
                self._put_checkpoint("projected", checkpoint)

    def _insert_slice(self, projection: Projection, follows: Checkpoint | None) -> None:
        checkpoint, part, at = projection.checkpoint, projection.slice, self._lock_checkpoint("projected")
        if follows is not None:
            refuse_leap(projected=at, appended=self.appended(), batch=checkpoint, follows=follows)
        is_new = at.block_number < checkpoint.block_number
        within = self._progress(checkpoint.block_number)
        if is_new and not (part.through and within >= part.through):
            refuse_skip(within, checkpoint.block_number, part)
        self._put_rows(projection)
        if is_new and part.through:
            self._session.run(sql.DROP_PROGRESS, [checkpoint.block_number])
            row = (checkpoint.block_number, part.through)
            self._session.write("projection_progress", sql.PUT_PROGRESS, [row])
        elif is_new:
            self._session.run(sql.DROP_PROGRESS, [0])
            self._put_checkpoint("projected", checkpoint)

    def _progress(self, number: int) -> int:
        return first_or_none(event for (event,) in self._session.rows(sql.GET_PROGRESS, [number])) or 0

    def insert_rows(self, projection: Projection) -> None:
        with self._session.transaction():
            self._put_rows(projection)

    def drop_projections(self) -> None:
        with self._session.transaction():
            for table in sql.PROJECTED_TABLES:
                self._session.run(f"DELETE FROM {table}")
            self._session.run(sql.DROP_PROGRESS, [0])
            self._note_transfers_from(NOTHING_YET)
            self._put_checkpoint("projected", NOTHING_YET)

    def reset_projections(self, first_event_sequence: int, base: Projection) -> None:
        with self._session.transaction():
            for table, sequence in sql.SEQUENCE_OF.items():
                self._session.run(f"DELETE FROM {table} WHERE {sequence} >= %s", [first_event_sequence])
            self._session.run("DELETE FROM ledger_events WHERE entry >= %s", [first_event_sequence << sql.LEG_BITS])
            self._session.run(sql.DROP_PROGRESS, [0])
            self._put_rows(base)
            self._note_transfers_from(base.checkpoint)
            self._put_checkpoint("projected", base.checkpoint)

    def _note_transfers_from(self, checkpoint: Checkpoint) -> None:
        """All blocks after this one are projected again."""
        if self.transfers_missing_to() > checkpoint.block_number:
            self._put_checkpoint("transfers", checkpoint)

    def mark_released(self, checkpoint: Checkpoint) -> None:
        with self._turn(is_urgent=False), self._session.transaction():
            at = self._lock_checkpoint("released")
            self._lock_checkpoint("appended")
            refuse_release(checkpoint, self._hash_of(checkpoint.block_number), self._lock_checkpoint("projected"))
            if checkpoint.block_number > at.block_number:
                self._put_checkpoint("released", checkpoint)

    def delete_released(self) -> Iterator[int]:
        released = self.released()
        if released != NOTHING_YET:
            anchor = self.get_block(released.block_number)
            refuse_other_anchor(released, anchor and anchor.hash)
            assert anchor is not None, "refused"
            yield from releases.delete(self._session, anchor, lambda: self._turn(is_urgent=False))

    def put_dead_letter(self, letter: DeadLetter) -> None:
        with self._session.transaction():
            self._session.write("dead_letters", sql.PUT_DEAD_LETTER, [letter[1:]])

    def _put_rows(self, projection: Projection) -> None:
        write = self._session.write
        write("definitions", sql.PUT_DEFINITION, projection.definitions)
        write("settled_trades", sql.PUT_TRADE, projection.trades)
        write("orders", sql.PUT_ORDER, projection.orders)
        write("ledger_events", sql.PUT_LEDGER_EVENT, entries_of(projection.ledger_events))
        write("transfers", sql.PUT_TRANSFER, projection.transfers)
        write("balances", sql.PUT_BALANCE, projection.balances)
        write("account_settings", sql.PUT_ACCOUNT_SETTING, projection.settings)
        write("candles", sql.PUT_CANDLE, projection.candles)
        write("trading_days", sql.PUT_TRADING_DAY, projection.days)

    def _advance(self, stage: str, number: int, digest: int, checkpoint: Checkpoint) -> bool:
        """Locks and advances a checkpoint if it is at block `number` with that hash, in one statement."""
        values = [
            checkpoint.block_number,
            hash_text(checkpoint.hash),
            checkpoint.epoch,
            stage,
            number,
            hash_text(digest),
        ]
        return bool(self._session.rows(sql.ADVANCE_CHECKPOINT, values))

    def _lock_checkpoint(self, stage: str) -> Checkpoint:
        """Reads a checkpoint and locks it until this transaction ends."""
        ((number, digest, epoch),) = self._session.rows(sql.LOCK_CHECKPOINT, [stage])
        return Checkpoint(number, hash_value(digest), epoch)

    def _put_checkpoint(self, stage: str, checkpoint: Checkpoint) -> None:
        row = (stage, checkpoint.block_number, hash_text(checkpoint.hash), checkpoint.epoch)
        self._session.write("settlement_checkpoints", sql.PUT_CHECKPOINT, [row])

    # settlement reads

    def appended(self) -> Checkpoint:
        return self._checkpoint("appended")

    def projected(self) -> Checkpoint:
        return self._checkpoint("projected")

    def released(self) -> Checkpoint:
        return self._checkpoint("released")

    def projected_within(self) -> int:
        return self._progress(self.projected().block_number + 1)

    def transfers_missing_to(self) -> int:
        return self._checkpoint("transfers").block_number

    def projecting(self) -> int:
        number = self.projected().block_number
        return number + 1 if self._progress(number + 1) else number

    def at_checkpoint(self) -> Tables:
        return self

    def _checkpoint(self, stage: str) -> Checkpoint:
        for number, digest, epoch in self._session.rows(sql.GET_CHECKPOINT, [stage]):
            return Checkpoint(number, hash_value(digest), epoch)
        return Checkpoint(0, 0, 0)

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        keys = [(order_id,) for order_id in order_ids if is_int64(order_id)]
        return self._by_keys(sql.GET_ORDERS, keys, Order._make)

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        return self._by_keys(sql.GET_BALANCES, keys, Balance._make)

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        return self._by_keys(sql.GET_CANDLES, keys, Candle._make)

    def get_transfers(self, event_sequences: Sequence[int]) -> list[Transfer]:
        keys = [(sequence,) for sequence in event_sequences if is_int64(sequence)]
        return self._by_keys(sql.GET_TRANSFERS, keys, Transfer._make)

    def _by_keys(self, statement: str, keys: Sequence[Row], make: Callable[[Row], T]) -> list[T]:
        """The rows of many keys of one or two columns."""
        found: list[T] = []
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            chunk = keys[start : start + KEYS_PER_STATEMENT]
            one = "(" + ", ".join(["%s"] * len(chunk[0])) + ")"
            placeholders = ", ".join([one] * len(chunk))
            values = [value for key in chunk for value in key]
            found += map(make, self._session.rows(statement.replace("KEYS", placeholders), values))
        return found

    def definitions(self) -> list[Definition]:
        return [Definition._make(row) for row in self._session.rows(sql.DEFINITIONS)]

    # the key register

    def key_register(self) -> StoredRegister | None:
        rows = self._session.rows(sql.KEY_REGISTER, [_SHARD])
        return first_or_none(StoredRegister(serial, _bytes(document)) for serial, document in rows)

    def put_key_register(self, register: StoredRegister, *, replaces: int | None) -> bool:
        values = [register.serial, register.document.decode("ascii"), _SHARD]
        with self._session.transaction():
            if replaces is None:
                return bool(self._session.rows(sql.ADD_KEY_REGISTER, values))
            return bool(self._session.rows(sql.REPLACE_KEY_REGISTER, [*values, replaces]))

    # signed checkpoints

    def put_signed_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        with self._session.transaction():
            values = [*checkpoint[:2], checkpoint.document.decode("ascii"), checkpoint.digest]
            self._session.run(sql.PUT_SIGNED_CHECKPOINT, values)

    def signed_checkpoints(self, last: int) -> Iterator[StoredCheckpoint]:
        after = upper_bound(last + 1), ""
        while page := self._session.rows(sql.SIGNED_CHECKPOINTS, [*after, KEYS_PER_STATEMENT]):
            for number, signer, document in page:
                yield StoredCheckpoint(number, signer, _bytes(document))
            after = page[-1][:2]

    def checkpoints_of_digest(self, digest: str) -> list[StoredCheckpoint]:
        rows = self._session.rows(sql.CHECKPOINTS_OF_DIGEST, [digest])
        return [StoredCheckpoint(number, signer, _bytes(document)) for number, signer, document in rows]

    def drop_signed_checkpoints(self, first: int, last: int) -> None:
        with self._session.transaction():
            self._session.run(sql.DROP_SIGNED_CHECKPOINTS, [first, last])

    # dead letters

    def dead_letters(self, unresolved_only: bool = True) -> list[DeadLetter]:
        rows = self._session.rows(sql.UNRESOLVED_DEAD_LETTERS if unresolved_only else sql.DEAD_LETTERS)
        return [DeadLetter(row[0], *row) for row in rows]

    def newest_dead_letters(
        self, limit: int, *, before: int | None = None, unresolved_only: bool = False
    ) -> list[DeadLetter]:
        statement = sql.NEWEST_UNRESOLVED_DEAD_LETTERS if unresolved_only else sql.NEWEST_DEAD_LETTERS
        return [DeadLetter(row[0], *row) for row in self._session.rows(statement, [upper_bound(before), limit])]

    def get_dead_letter(self, id: int) -> DeadLetter | None:
        rows = self._session.rows(sql.GET_DEAD_LETTER, [id]) if is_int64(id) else []
        return first_or_none(DeadLetter(row[0], *row) for row in rows)


def _bytes(text: str | bytes) -> bytes:
    """The bytes of a text column; SQLite stores bytes there, too, if somebody writes them."""
    return text if isinstance(text, bytes) else text.encode()


def _epoch_row(epoch: Epoch) -> Row:
    return (*epoch[:2], hash_text(epoch.prev_hash), *epoch[3:])

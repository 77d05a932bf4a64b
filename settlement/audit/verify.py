"""Verifies the store against its blocks, which are checked, re-executed and projected again.

    chain         numbers, prev_hash, hash, and each block row's columns
    re-execution  the commands of all blocks, by a new engine; each resulting block must be equal byte for byte
                  (not of blocks in layouts whose rules this program does not have)
    tables        trades, orders, ledger entries, transfers, balances, account settings, candles and days with
                  trades, definitions, and the lines of the CSV trail

It covers blocks up to the `projected` checkpoint. Settlement may be running: rows that later blocks have set are not
compared. Memory is bounded by the engine's state (open orders and balances), not by the history.

Rows are not read while they are as expected: the store compares whole columns (`has_exactly`) of one batch while the
next one is executed and projected. Rows that differ are read and compared one by one.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from matching.core.block_diff import ReExecutor
from matching.core.blocks import Block
from matching.core.errors import MatchingError
from matching.core.hashes import hash_text
from matching.storage.disk import Disk
from settlement.audit import whole_parts
from settlement.audit.differences import Difference, Findings
from settlement.audit.trail_audit import TrailAudit
from settlement.audit.whole_parts import Equal, Part
from settlement.errors import NotReady
from settlement.lookups import trades_between
from settlement.project.projection import EmptyTables, Projector, slices_of
from settlement.project.rebuilding import refuse_if_dropped
from settlement.project.trail import texts_by_day
from settlement.receive.chain import stored
from settlement.stores.base import (
    OPEN_STATUSES,
    WHOLE,
    AccountSetting,
    Candle,
    Definition,
    Order,
    Projection,
    Store,
    StoredBlock,
    TradingDay,
)

_BATCH_EVENTS = 8192
_SLICE_EVENTS = 16_384
"""A block with more events is projected and compared in slices of this size."""
_PAGE = 4096
_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1


class Report(NamedTuple):
    ok: bool
    from_block: int
    to_block: int
    blocks: int  # compared
    trades: int  # compared
    not_executed: int  # the last block of earlier rules, which this program cannot execute; 0: all were executed
    state_hash: str
    appended: int
    behind: int  # blocks that are appended but not projected yet, and therefore not compared
    difference_count: int
    differences: list[Difference]

    def form(self) -> dict[str, Any]:
        """The JSON document of `manage.py verify_settlement --json`."""
        return {**self._asdict(), "differences": [difference._asdict() for difference in self.differences]}


@dataclass(frozen=True)
class _Span:
    """The blocks that are compared."""

    first: int
    last: int
    is_to_the_end: bool  # no `to_block` was given


def verify(
    store: Store,
    trail_folder: Path,
    engine: ReExecutor,
    *,
    from_block: int | None = None,
    to_block: int | None = None,
    progress: Callable[[int, int], object] = lambda done, last: None,
    disk: Disk | None = None,
    thread: Executor | None = None,
) -> Report:
    """Compares blocks `from_block` to `to_block`, or all that are projected.

    `engine` is a new one; blocks before the range are executed, not compared. A block that it returns itself has
    earlier rules and was not executed. `progress` is called with (block, last block). `thread`: one that may read the
    store beside this one. Raises NotReady if the range is not projected, or is dropped while it is compared;
    StoreError.
    """
    appended, projected = store.appended(), store.projected()
    last = projected.block_number if to_block is None else min(to_block, projected.block_number)
    if (to_block or 0) > appended.block_number or (from_block or 1) > max(last, 1):
        raise NotReady(f"The store is projected to block {projected.block_number}: it does not have these blocks.")
    span = _Span(max(1, from_block or 1), last, to_block is None)
    findings = Findings()
    verification = _Verification(
        store, trail_folder, engine, span=span, findings=findings, progress=progress, disk=disk, thread=thread
    )
    state_hash, trades = verification.run()
    return Report(
        ok=not findings.count,
        from_block=span.first,
        to_block=last,
        blocks=max(0, last - span.first + 1),
        trades=trades,
        not_executed=verification.not_executed,
        state_hash=hash_text(state_hash),
        appended=appended.block_number,
        behind=appended.block_number - projected.block_number,
        difference_count=findings.count,
        differences=findings.kept,
    )


class _ChainBroken(Exception):
    """The chain cannot be followed further; the difference is in the findings."""


class _Verification:
    def __init__(
        self,
        store: Store,
        trail_folder: Path,
        engine: ReExecutor,
        *,
        span: _Span,
        findings: Findings,
        progress: Callable[[int, int], object],
        disk: Disk | None,
        thread: Executor | None,
    ) -> None:
        self._store = store
        self._trail_folder = trail_folder
        self._disk = disk
        self._thread = thread
        self._engine = engine
        self._span = span
        self._findings = findings
        self._newer = Findings()  # differing rows that were set by events after the last one that was executed
        self._progress = progress
        self._projector = Projector(EmptyTables(), kept=None)
        self._definitions: list[Definition] = []
        self._candles: dict[tuple[str, int], Candle] = {}  # not compared yet, because later blocks may change them
        self._days: dict[date, TradingDay] = {}
        self._candle_rows = self._day_rows = 0  # that were expected and found
        self._transfers_missing_to = store.transfers_missing_to()
        self._trail: TrailAudit | None = None
        self._waiting: tuple[Part, Callable[[], Equal]] | None = None  # is compared after the next part is projected
        self._placed: dict[int, Order] = {}  # latest states of the orders that the slices of a large block placed
        self._head = 0, 0  # number and hash of the last block that was checked
        self._last_command = self._last_event = 0
        self._trades = 0
        self.not_executed = 0

    def run(self) -> tuple[int, int]:
        """Returns the state hash at the end and the number of trades compared."""
        try:
            for blocks in self._batches():
                self._project(blocks)
            self._compare_waiting()
            self._compare_state()
        except _ChainBroken:
            pass
        finally:
            if self._trail:
                self._trail.close()
        return self._head[1], self._trades

    # Blocks

    def _batches(self) -> Iterator[list[Block]]:
        """Batches of checked and executed blocks.

        A batch has blocks before the span or blocks of the span, not both; a large block is a batch of its own.
        """
        batch: list[Block] = []
        events = 0
        for block in self._checked(self._store.blocks(1, self._span.last)):
            is_large = block.event_count > _SLICE_EVENTS
            if batch and (is_large or events >= _BATCH_EVENTS or block.number == self._span.first):
                yield batch
                batch, events = [], 0
            batch.append(block)
            events += block.event_count
        if batch:
            yield batch
        if self._head[0] < self._span.last:
            self._break(self._head[0] + 1, "a block", None)

    def _checked(self, rows: Iterable[StoredBlock]) -> Iterator[Block]:
        for row in rows:
            yield self._check(row)

    def _check(self, row: StoredBlock) -> Block:
        number = self._head[0] + 1
        try:
            block = Block.decode(row.data)
            block.verify(number, self._head[1])
        except MatchingError as error:
            self._break(number, "a block with the hash in its header that continues the chain", str(error))
        if stored(block) != row:
            self._compare_waiting()
            self._findings.compare_row("block row", number, stored(block)._replace(data=b""), row._replace(data=b""))
        try:
            made = self._engine.follow(block)
        except MatchingError as error:
            self._break(number, "commands that can be executed", str(error))
        if made is block:
            self.not_executed = number
        elif made.data != block.data:
            self._break(number, f"the re-executed block, hash {hash_text(made.hash)}", f"hash {hash_text(block.hash)}")
        self._head = block.number, block.hash
        self._progress(number, self._span.last)
        return block

    def _break(self, number: int, expected: Any, found: Any) -> NoReturn:
        self._compare_waiting()
        self._findings.add("block", number, expected, found)
        raise _ChainBroken

    def _project(self, blocks: list[Block]) -> None:
        """Projects a batch, and begins to compare it if it is of the span."""
        first, last = blocks[0], blocks[-1]
        for part in slices_of(first, _SLICE_EVENTS) if len(blocks) == 1 else (WHOLE,):
            projection = self._projector.project(blocks, part)
            self._definitions += projection.definitions
            last_event = part.through or last.last_event_sequence
            if first.number < self._span.first:
                self._last_command, self._last_event = last.last_command_sequence, last_event
                continue
            lines = list(texts_by_day(projection.trades, self._projector.registry))
            made = Part(first, last.last_command_sequence, last_event, projection, lines)
            found = whole_parts.begin(made, self._store, self._thread)
            self._compare_waiting()
            self._waiting = made, found

    # Tables

    def _compare_waiting(self) -> None:
        if self._waiting:
            (part, found), self._waiting = self._waiting, None
            self._compare(part, found())

    def _compare(self, part: Part, equal: Equal) -> None:
        trades = part.projection.trades
        self._last_command, self._last_event = part.last_command, part.last_event
        if self._trail is None:
            self._trail = self._audit(part.begins)
        self._trail.compare(trades, part.lines)
        self._trades += len(trades)
        self._compare_if_kept(lambda: self._compare_history(part, equal))
        if not equal.placed_orders:
            first = part.first_block.first_command_sequence
            self._placed |= {order.order_id: order for order in part.projection.orders if order.order_id >= first}
            if part.is_last_slice:
                self._compare_if_kept(lambda: self._compare_placed(part))
                self._placed = {}

    def _compare_if_kept(self, compare: Callable[[], None]) -> None:
        """Runs a comparison. Raises NotReady if it found differences because a rebuild has dropped the rows."""
        known = self._findings.count
        compare()
        if self._findings.count > known:
            refuse_if_dropped(self._store, self._span.last)

    def _compare_history(self, part: Part, equal: Equal) -> None:
        """Compares the final rows of a part: trades, ledger entries and older orders that are closed."""
        projection = part.projection
        if not equal.trades:
            self._findings.compare_rows("trade", projection.trades, trades_between(self._store, *part.events))
        if not equal.ledger_events:
            found = self._store.get_ledger_events(*part.events)
            self._findings.compare_rows("ledger entry", projection.ledger_events, found, width=2)
        self._compare_transfers(projection, *part.events)
        if not equal.older_orders:
            self._compare_older(part)
        self._days |= {day.day: day for day in projection.days}
        self._candles |= {(candle.symbol, candle.minute_ns): candle for candle in projection.candles}
        self._compare_candles_before(max((minute_ns for _, minute_ns in self._candles), default=0))

    def _compare_older(self, part: Part) -> None:
        """Compares the orders that earlier blocks placed and this part closes."""
        first = part.first_block.first_command_sequence
        older = (order for order in part.projection.orders if order.order_id < first)
        closed = [order for order in older if order.status not in OPEN_STATUSES]
        found = {order.order_id: order for order in self._store.get_orders([order.order_id for order in closed])}
        for order in closed:
            self._findings.compare_row("order", order.order_id, order, found.get(order.order_id))

    def _compare_transfers(self, projection: Projection, first: int, last: int) -> None:
        """Those of blocks that a version without these rows projected may be missing."""
        found = self._store.get_transfers_by_sequence_range(first, last)
        known = {transfer.event_sequence for transfer in found}
        expected = [
            transfer
            for transfer in projection.transfers
            if transfer.block_number > self._transfers_missing_to or transfer.event_sequence in known
        ]
        self._findings.compare_rows("transfer", expected, found)

    def _compare_candles_before(self, minute_ns: int) -> None:
        """Block times never decrease, so candles before the newest minute are final."""
        over = [key for key in self._candles if key[1] < minute_ns]
        found = {(row.symbol, row.minute_ns): row for row in self._store.get_candles(over)} if over else {}
        for key in over:
            row = found.get(key)
            self._candle_rows += row is not None
            findings = self._findings_for(row and row.last_trade_id)
            expected = self._candles.pop(key)
            if row is not None and row.quote_volume is row.taker_buy_volume is row.taker_buy_quote_volume is None:
                # An earlier version projected this minute.
                expected = expected._replace(quote_volume=None, taker_buy_volume=None, taker_buy_quote_volume=None)
            findings.compare_row("candle", f"{key[0]}:{key[1]}", expected, row)

    def _compare_placed(self, part: Part) -> None:
        """Compares placed orders that are closed, and checks that the store has no other orders in the range."""
        placed = self._placed
        found = {order.order_id: order for order in self._stored_orders(*part.commands)}
        for order_id in found.keys() - placed:
            self._findings.compare_row("order", order_id, None, found[order_id])
        for order in placed.values():
            if order.status not in OPEN_STATUSES and order != found.get(order.order_id):
                self._findings.compare_row("order", order.order_id, order, found.get(order.order_id))

    def _audit(self, first_sequence: int) -> TrailAudit:
        return TrailAudit(self._trail_folder, first_sequence, self._findings, self._disk)

    def _stored_orders(self, first: int, last: int) -> Iterator[Order]:
        while page := self._store.get_orders_by_sequence_range(first, last, _PAGE):
            yield from page
            first = page[-1].order_id + 1

    def _compare_state(self) -> None:
        """Compares what is there after the last block: open orders, balances and so on, and the checkpoints."""
        self._compare_open_orders()
        self._compare_balances()
        self._compare_settings()
        self._compare_candles_before(_MAX_INT64)
        self._compare_days()
        kept = [d for d in self._store.definitions() if d.event_sequence <= self._last_event]
        self._findings.compare_rows("definition", self._definitions, kept)
        ahead_to = self._compare_end() if self._span.is_to_the_end else _MAX_INT64
        trail = self._trail or self._audit(_MIN_INT64)
        trail.finish(self._last_event, ahead_to)
        if self._findings.count:
            refuse_if_dropped(self._store, self._span.last)

    def _compare_open_orders(self) -> None:
        orders = self._projector.open_orders()
        for start in range(0, len(orders), _PAGE):
            page = orders[start : start + _PAGE]
            found = {order.order_id: order for order in self._store.get_orders([order.order_id for order in page])}
            for order in page:
                row = found.get(order.order_id)
                self._findings_for(row and row.updated_sequence).compare_row("order", order.order_id, order, row)
        ids = {order.order_id for order in orders}
        for row in self._store.open_orders():
            if row.order_id not in ids:
                self._findings_for(row.updated_sequence).compare_row("order", row.order_id, None, row)

    def _compare_balances(self) -> None:
        wanted = {(balance.account, balance.asset): balance for balance in self._projector.balances()}
        for row in self._store.balances():
            balance = wanted.pop((row.account, row.asset), None)
            self._findings_for(row.sequence).compare_row("balance", f"{row.account}:{row.asset}", balance, row)
        for balance in wanted.values():
            self._findings.compare_row("balance", f"{balance.account}:{balance.asset}", balance, None)

    def _compare_settings(self) -> None:
        wanted = {setting[:3]: setting for setting in self._projector.settings()}
        for row in self._store.account_settings():
            setting = wanted.pop(row[:3], None)
            self._findings_for(row.sequence).compare_row("account setting", _key(row), setting, row)
        for setting in wanted.values():
            self._findings.compare_row("account setting", _key(setting), setting, None)

    def _compare_days(self) -> None:
        for day, expected in self._days.items():
            row = self._store.trading_day(day)
            self._day_rows += row is not None
            self._findings_for(row and row.last_trade_id).compare_row("trading day", day, expected, row)

    def _findings_for(self, sequence: int | None) -> Findings:
        """The findings for a row that event `sequence` set: separate ones if the event is of a later block."""
        return self._newer if sequence is not None and sequence > self._last_event else self._findings

    def _compare_end(self) -> int:
        """Checks that the store ends here; returns the last event that the trail may have.

        No row may be of a later event, and blocks that are not projected yet must continue the chain. Nothing is
        checked if settlement projected later blocks meanwhile.
        """
        candles, days = self._store.count_candles(), self._store.count_trading_days()
        end = self._store.projected()
        if end.block_number != self._span.last or self._store.projecting() != self._span.last:
            return _MAX_INT64
        if (end.block_number, end.hash) != self._head:
            self._findings.add(
                "checkpoint", "projected", f"hash {hash_text(self._head[1])}", f"hash {hash_text(end.hash)}"
            )
        for difference in self._newer.kept:
            self._findings.add(*difference)
        if self._span.first == 1:
            self._compare_count("candle", self._candle_rows, candles)
            self._compare_count("trading day", self._day_rows, days)
        after = self._last_event + 1
        self._findings.compare_rows("trade", [], trades_between(self._store, after, _MAX_INT64))
        self._findings.compare_rows("ledger entry", [], self._store.get_ledger_events(after, _MAX_INT64), width=2)
        self._findings.compare_rows("order", [], self._stored_orders(self._last_command + 1, _MAX_INT64))
        return self._check_waiting_blocks()

    def _compare_count(self, what: str, known: int, found: int | None) -> None:
        if found is not None and found > known:
            self._findings.add(what, "of no trade", 0, found - known)

    def _check_waiting_blocks(self) -> int:
        """Checks the blocks that are not projected yet; returns their last event."""
        (number, digest), last_event = self._head, self._last_event
        for row in self._store.blocks(number + 1):
            number += 1
            try:
                Block.decode(row.data).verify(number, digest)
            except MatchingError as error:
                self._break(number, "a block with the hash in its header that continues the chain", str(error))
            digest, last_event = row.hash, row.last_event_sequence
        return last_event


def _key(setting: AccountSetting) -> str:
    return f"{setting.account}:{setting.kind}:{setting.symbol}"

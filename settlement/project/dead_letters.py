"""Dead letters: blocks whose rows the store rejected permanently. They are stored with the rows and can be replayed.

The rows are also needed for projecting later blocks, which continue from the state that these rows would have set
(`TablesWithDeadLetters`).
"""

import errno
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from itertools import chain
from os import SEEK_END
from pathlib import Path
from typing import Any, TypeVar

import structlog

from matching.storage.disk import Disk, LocalDisk
from settlement import metrics
from settlement.clock import Clock
from settlement.errors import CannotRun, NotReady
from settlement.stores.base import (
    MAX_VOLUME,
    WHOLE,
    AccountSetting,
    Balance,
    Candle,
    Checkpoint,
    DeadLetter,
    Definition,
    LedgerEvent,
    Order,
    Projection,
    Slice,
    Store,
    StoreMisconfigured,
    StoreRejected,
    StoreUnavailable,
    Tables,
    Trade,
    TradingDay,
    Transfer,
)

log = structlog.get_logger(__name__)

FILE_NAME = "dead_letters.jsonl"
MAX_BYTES = 64 << 20
"""Maximum size of the rows of one letter as JSON; they are kept in memory until the letter is resolved."""

_VOLUMES = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
NO_ROWS = ("checkpoint", "slice")
"""The members of a projection's JSON form that are not lists of rows."""

R = TypeVar("R")


class DeadLetters:
    """The dead letters of one store, also appended to a file. Raises StoreUnavailable while the file's disk is full."""

    def __init__(self, store: Store, folder: Path, clock: Clock, disk: Disk | None = None) -> None:
        self._store = store
        self._disk = disk or LocalDisk()
        self._file = folder / FILE_NAME
        self._clock = clock
        self.count: int | None = None  # unresolved letters at the last count; None: not counted yet

    def unresolved(self) -> list[DeadLetter]:
        """The unresolved letters with their rows."""
        letters = [self._store.get_dead_letter(letter.id) for letter in self._store.dead_letters()]
        found = [letter for letter in letters if letter is not None]
        self.count = len(found)
        metrics.DEAD_LETTERS.set(self.count)
        return found

    def recount(self) -> None:
        """Counts the unresolved letters in the store; another process may have replayed some."""
        self.count = len(self._store.dead_letters())
        metrics.DEAD_LETTERS.set(self.count)

    def put(self, projection: Projection, error: str) -> DeadLetter:
        """Stores the rejected projection of one block or slice; the slices of a block are in one letter.

        Raises StoreMisconfigured if its rows are larger than MAX_BYTES.
        """
        number = projection.checkpoint.block_number
        known = self._store.get_dead_letter(number)
        now = self._clock.time_ns()
        letter = DeadLetter(
            id=number,
            block_number=number,
            error=error,
            attempts=known.attempts + 1 if known else 1,
            first_failed_at_ns=known.first_failed_at_ns if known else now,
            last_failed_at_ns=now,
            resolved_at_ns=None,
            projection=_bounded([*_earlier(known, projection), projection], error),
        )
        self._store_rejected(letter)
        return letter

    def replay(self, letter: DeadLetter) -> str | None:
        """Writes a letter's rows; returns the error if the store rejects them again. Can be repeated.

        Raises NotReady if the letter's block is not projected yet: its rows would be ahead of the checkpoint.
        """
        if letter.resolved_at_ns is not None:
            return None
        projected = self._store.projected().block_number
        if letter.block_number > projected:
            raise NotReady(
                f"The rows of block {letter.block_number} cannot be replayed yet, because the store is projected only "
                f"to block {projected}: wait until run_settlement or rebuild_projections has projected that block."
            )
        try:
            for projection in decode(letter.projection):
                self._store.insert_rows(projection)
        except StoreRejected as error:
            attempts, now = letter.attempts + 1, self._clock.time_ns()
            self._store_rejected(letter._replace(error=str(error), attempts=attempts, last_failed_at_ns=now))
            return str(error)
        self.resolve(letter)
        return None

    def resolve(self, letter: DeadLetter) -> None:
        self._write(letter._replace(resolved_at_ns=self._clock.time_ns()))
        log.info("settlement.dead_letter_resolved", block=letter.block_number)

    def _store_rejected(self, letter: DeadLetter) -> None:
        self._write(letter)
        log.error("settlement.dead_letter", block=letter.block_number, error=letter.error, attempts=letter.attempts)

    def _write(self, letter: DeadLetter) -> None:
        self._append_line(letter)  # before the row: after a failure the line may be repeated, but not be missing
        self._store.put_dead_letter(letter)
        self.recount()

    def _append_line(self, letter: DeadLetter) -> None:
        """Appends the letter without its rows to the file."""
        fields = letter._asdict()
        del fields["id"], fields["projection"]
        line = json.dumps(fields).encode() + b"\n"
        try:
            file = self._disk.append_to(self._file)
            try:
                file.write(b"\n" + line if file.size and self._is_torn() else line)
                file.sync()
            finally:
                file.close()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreUnavailable(f"The disk of {self._file} is full: make room.") from error
            raise CannotRun(f"{self._file} cannot be written: {error.strerror}.") from error

    def _is_torn(self) -> bool:
        """Whether the last line has no line end. It is not truncated, because another process may be writing it."""
        with self._disk.open(self._file) as file:
            file.seek(-1, SEEK_END)
            return file.read() != b"\n"


def encode(projections: Sequence[Projection]) -> str:
    """Projections as JSON: one object for a block, a list of objects for its slices.

    Rows are arrays in the order of the contract's tuples, days are YYYY-MM-DD.
    """
    forms = [one._asdict() for one in projections]
    for form in forms:
        del form["before"]
        form.update((table, list(form[table])) for table in form if table not in NO_ROWS)
    whole = len(forms) == 1 and forms[0]["slice"] == WHOLE
    return json.dumps(forms[0] if whole else forms, separators=(",", ":"), default=date.isoformat)


def decode(text: str) -> list[Projection]:
    """The projection of a block, or those of its slices."""
    found = json.loads(text)
    return [_projection(rows) for rows in (found if isinstance(found, list) else [found])]


def _bounded(projections: Sequence[Projection], error: str) -> str:
    text = encode(projections)
    if len(text) > MAX_BYTES:
        raise StoreMisconfigured(
            f"The store rejects more rows of block {projections[0].checkpoint.block_number} than fit into a dead "
            f"letter ({MAX_BYTES >> 20} MiB). Correct the cause and restart settlement, which then continues: {error}"
        )
    return text


def _earlier(known: DeadLetter | None, projection: Projection) -> list[Projection]:
    """The earlier slices in the letter of the same block."""
    after = projection.slice.after
    if known is None or known.resolved_at_ns is not None or not after:
        return []
    return [one for one in decode(known.projection) if 0 < one.slice.through <= after]


def _projection(rows: dict[str, Any]) -> Projection:
    return Projection(
        checkpoint=Checkpoint(*rows["checkpoint"]),
        trades=_rows(Trade, rows["trades"]),
        orders=_rows(Order, rows["orders"]),
        ledger_events=_rows(LedgerEvent, rows["ledger_events"]),
        balances=_rows(Balance, rows["balances"]),
        candles=[_saturated(candle) for candle in _rows(Candle, rows["candles"])],
        days=[TradingDay(date.fromisoformat(day), first, last) for day, first, last in rows["days"]],
        definitions=_rows(Definition, rows["definitions"]),
        # Letters of older versions have neither settings, nor a slice, nor transfers.
        settings=_rows(AccountSetting, rows.get("settings", ())),
        slice=Slice(*rows.get("slice", WHOLE)),
        transfers=_rows(Transfer, rows.get("transfers", ())),
    )


def _saturated(candle: Candle) -> Candle:
    """Limits volumes to int64. Letters of older versions have larger ones, which the store rejected."""
    volumes = {name: getattr(candle, name) for name in _VOLUMES}
    return candle._replace(**{name: min(volume, MAX_VOLUME) for name, volume in volumes.items() if volume is not None})


def _rows(make: Callable[..., R], rows: Iterable[Sequence[Any]]) -> list[R]:
    return [make(*row) for row in rows]


class TablesWithDeadLetters:
    """The tables as if the dead letters' rows had been written: of two rows with the same key the newer one is used."""

    def __init__(self, tables: Tables, projections: Iterable[Projection]) -> None:
        """`projections` in the order of their blocks."""
        self._tables = tables
        self._orders: dict[int, Order] = {}
        self._balances: dict[tuple[int, str], Balance] = {}
        self._candles: dict[tuple[str, int], Candle] = {}
        self._days: dict[date, TradingDay] = {}
        for projection in projections:
            self.add(projection)

    def add(self, projection: Projection) -> None:
        self._orders |= {order.order_id: order for order in projection.orders}
        self._balances |= {(balance.account, balance.asset): balance for balance in projection.balances}
        self._candles |= {(candle.symbol, candle.minute_ns): candle for candle in projection.candles}
        self._days |= {day.day: day for day in projection.days}

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        held = [self._orders[order_id] for order_id in order_ids if order_id in self._orders]
        found = chain(self._tables.get_orders(order_ids), held)
        return _newest(found, lambda order: order.order_id, lambda order: order.updated_sequence)

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        held = [self._balances[key] for key in keys if key in self._balances]
        found = chain(self._tables.get_balances(keys), held)
        return _newest(found, lambda balance: (balance.account, balance.asset), lambda balance: balance.sequence)

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        held = [self._candles[key] for key in keys if key in self._candles]
        found = chain(self._tables.get_candles(keys), held)
        return _newest(found, lambda candle: (candle.symbol, candle.minute_ns), lambda candle: candle.last_trade_id)

    def trading_day(self, day: date) -> TradingDay | None:
        found = [known for known in (self._tables.trading_day(day), self._days.get(day)) if known]
        return max(found, key=lambda known: known.last_trade_id, default=None)


def _newest(rows: Iterable[R], key: Callable[[R], Any], sequence: Callable[[R], int]) -> list[R]:
    newest: dict[Any, R] = {}
    for row in rows:
        known = newest.get(key(row))
        if known is None or sequence(row) > sequence(known):
            newest[key(row)] = row
    return list(newest.values())

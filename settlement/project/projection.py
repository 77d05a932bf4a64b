"""Projects blocks to rows: a pure function of the blocks and of the rows before them.

    blocks ──▶ records, as one array of each kind
           ──▶ legs ──▶ ledger events with balances after, last balances
           ──▶ trades, 1-minute candles, trading days
           ──▶ orders (last state)
           ──▶ definitions (assets, instruments, their statuses and changed values)
           ──▶ account settings (status, fees)
           ──▶ deposits and withdrawals, with their references

The rows are columns (`settlement.stores.base.columns`): no Python object is made for an event or a row. Rows have
absolute values, never increments, so writing a projection twice changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np

from matching.core.blocks import Block, Records
from matching.core.codes import NO_FEE, NONE_ID, AccountStatus, CommandKind, EventKind, name_of
from matching.core.reading.instrument_updates import definition_of
from matching.core.registry import REGISTRY_EVENTS, Registry, canonical
from settlement.errors import StoreDamaged
from settlement.project.columns import balances as balance_columns
from settlement.project.columns import orders as order_columns
from settlement.project.columns.balances import BALANCE_STATE, ChangedBalances
from settlement.project.columns.orders import ORDER_STATE, ChangedOrders
from settlement.project.columns.records import events_of, records_of
from settlement.project.columns.state_cache import StateCache
from settlement.project.columns.trades import BatchCandles, BatchTrades, CandleKey
from settlement.stores.base import (
    WHOLE,
    AccountSetting,
    Balance,
    Before,
    Candle,
    Checkpoint,
    Definition,
    Order,
    Projection,
    Slice,
    Tables,
    Trade,
    TradingDay,
    Transfer,
)
from settlement.stores.base.columns import Integers

_STATUS_CHANGED = int(EventKind.ACCOUNT_STATUS_CHANGED)
_FEES_CHANGED = int(EventKind.ACCOUNT_FEES_CHANGED)
_TRANSFERS = {int(EventKind.DEPOSITED): "deposit", int(EventKind.WITHDRAWN): "withdrawal"}
_STATUSES = {int(status): name_of(status) for status in AccountStatus}


class EmptyTables:
    """The tables before the first block."""

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        return []

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        return []

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        return []

    def trading_day(self, day: date) -> TradingDay | None:
        return None


class Projector:
    """Projects blocks in order, starting after the last block that is in `tables` and `definitions`.

    A projection must be written to the tables before the next call, which may read its rows.
    """

    def __init__(
        self,
        tables: Tables,
        definitions: Iterable[Definition] = (),
        *,
        kept: int | None,
        includes_before: bool = False,
    ) -> None:
        """`kept`: the number of orders and of balances to cache; None: all, for tables that stay empty.

        `includes_before`: projections include the previous rows (`before`), for a store that is not atomic.
        """
        self.registry = Registry.from_definitions((definition.kind, definition.text) for definition in definitions)
        self._tables = tables
        self._includes_before = includes_before
        self._orders = StateCache(ORDER_STATE, kept)
        self._balances = StateCache(BALANCE_STATE, kept)
        self._unfinished = 0  # the command within which the last slice ended; 0: the slice ended with its block
        self._candles: dict[CandleKey, Candle] = {}
        self._day: TradingDay | None = None
        self._settings: dict[tuple[int, str, str], AccountSetting] | None = {} if kept is None else None

    def project(self, blocks: Sequence[Block], part: Slice = WHOLE) -> Projection:
        """The projection of one or more consecutive blocks, or of a slice of a single one.

        Reads all rows before it changes its caches. Raises the errors of `tables`, after which it can be called again
        with the same blocks; StoreDamaged if the tables do not have the state before these blocks.
        """
        definitions = [d for block in blocks for d in self._define(block, events_of(block, part))]
        batch = records_of(blocks, part)
        before = part.after + 1 if part.after else blocks[0].first_event_sequence
        orders, balances = ChangedOrders(batch), ChangedBalances(batch, self.registry)
        trades = BatchTrades(batch, self.registry)
        candles = trades.minutes()
        order_states = self._load_orders(orders, before)
        balance_states, is_known = self._load_balances(balances, before)
        candles_before = self._load_candles(candles, before)
        rows_before = None
        if self._includes_before:
            rows_before = self._before(order_states[~orders.is_placed], balance_states[is_known], candles_before)
        days = trades.days(self._known_day)
        settings = self._fold_settings(batch.events)
        self._day = days[-1] if days else self._day
        trade_rows = trades.table()
        return Projection(
            checkpoint=Checkpoint(blocks[-1].number, blocks[-1].hash, blocks[-1].epoch),
            trades=trade_rows,
            ledger_events=self._fold_ledger(balances, balance_states),
            orders=self._fold_orders(orders, order_states, batch.events, part),
            balances=balance_columns.table_of(balance_states, self.registry),
            candles=self._fold_candles(candles, candles_before),
            days=days,
            definitions=definitions,
            settings=settings,
            before=rows_before,
            slice=part,
            transfers=[transfer for block in blocks for transfer in self._transfers_in(block, events_of(block, part))],
        )

    def _before(self, orders: Any, balances: Any, candles: dict[CandleKey, Candle]) -> Before:
        order_rows = order_columns.table_of(orders, self.registry)
        return Before(order_rows, balance_columns.table_of(balances, self.registry), list(candles.values()))

    def open_orders(self) -> Sequence[Order]:
        """All open orders, also waiting ones, by order_id, of a projector that caches everything (`kept` is None)."""
        return order_columns.table_of(np.sort(self._orders.records(), order="order_id"), self.registry)

    def balances(self) -> Sequence[Balance]:
        """All balances, by (account, asset), of a projector that caches everything (`kept` is None)."""
        return sorted(balance_columns.table_of(self._balances.records(), self.registry))

    def settings(self) -> list[AccountSetting]:
        """All account settings, by (account, kind, symbol), of a projector that caches everything (`kept` is None)."""
        assert self._settings is not None
        return [setting for _, setting in sorted(self._settings.items())]

    def base(self, checkpoint: Checkpoint) -> Projection:
        """All rows that later blocks may change, as one projection.

        Of a projector that caches everything (`kept` is None).
        """
        days = [self._day] if self._day else []
        candles = list(self._candles.values())
        return Projection(
            checkpoint,
            orders=self.open_orders(),
            balances=self.balances(),
            candles=candles,
            days=days,
            settings=self.settings(),
        )

    # Definitions

    def _define(self, block: Block, events: Records) -> Iterable[Definition]:
        """Applies the block's definitions to the registry; repeating it changes nothing."""
        for event in events[np.isin(events["kind"], REGISTRY_EVENTS)]:
            command = block.commands[int(event["command_sequence"]) - block.first_command_sequence]
            definition = Definition(int(event["sequence"]), int(command["kind"]), self._text_of(block, command))
            self.registry.apply(definition.kind, definition.text)
            yield definition

    def _text_of(self, block: Block, command: Any) -> str:
        if command["kind"] == CommandKind.INSTRUMENT_UPDATE:  # has numbers only, so that the kernel can apply it
            return canonical(definition_of(command, self.registry.instruments[command["instrument"]]))
        return block.text(command)

    # Deposits and withdrawals

    def _transfers_in(self, block: Block, events: Records) -> Iterator[Transfer]:
        for event in events[np.isin(events["kind"], list(_TRANSFERS))]:
            command = block.commands[int(event["command_sequence"]) - block.first_command_sequence]
            yield Transfer(
                event_sequence=int(event["sequence"]),
                block_number=block.number,
                timestamp_ns=block.timestamp_ns,
                account=int(event["account"]),
                asset=self.registry.assets[int(event["instrument"])].symbol,
                kind=_TRANSFERS[int(event["kind"])],
                amount=int(event["amount"]),
                reference=block.text(command),
            )

    # Account settings

    def _fold_settings(self, events: Records) -> list[AccountSetting]:
        changed = {(setting.account, setting.kind, setting.symbol): setting for setting in self._settings_in(events)}
        if self._settings is not None:
            self._settings |= changed
        return list(changed.values())

    def _settings_in(self, events: Records) -> Iterable[AccountSetting]:
        for event in events[np.isin(events["kind"], (_STATUS_CHANGED, _FEES_CHANGED))]:
            account, sequence = int(event["account"]), int(event["sequence"])
            if event["kind"] == _STATUS_CHANGED:
                yield AccountSetting(account, "status", "", _STATUSES[int(event["side"])], None, None, sequence)
                continue
            symbol = "" if event["instrument"] == NONE_ID else self.registry.instruments[event["instrument"]].symbol
            is_removed = event["price"] == NO_FEE
            yield AccountSetting(
                account=account,
                kind="fees",
                symbol=symbol,
                status=None,
                maker_fee=None if is_removed else int(event["price"]),
                taker_fee=None if is_removed else int(event["quantity"]),
                sequence=sequence,
            )

    # Balances and ledger events

    def _load_balances(self, changed: ChangedBalances, before: int) -> tuple[Any, Any]:
        """The balances before the batch, zeros for new ones, and which of them exist."""
        states, is_known = self._balances.take(changed.accounts, changed.assets)
        missing = np.flatnonzero(~is_known)
        keys = changed.keys(missing)
        found = self._tables.get_balances(keys) if keys else []
        place_of = dict(zip(keys, missing.tolist(), strict=True))
        for balance in found:
            _refuse_newer(f"balance of account {balance.account} in {balance.asset}", balance.sequence, before)
        places = [place_of[balance.account, balance.asset] for balance in found]
        states[places] = balance_columns.states_of(found, self.registry)
        is_known[places] = True
        return states, is_known

    def _fold_ledger(self, changed: ChangedBalances, states: Any) -> Any:
        """The ledger events in order; updates `states` to the last state of each balance."""
        ledger_events = changed.fold(states)
        self._balances.put(changed.accounts, changed.assets, states)
        return ledger_events

    # Orders

    def _load_orders(self, changed: ChangedOrders, before: int) -> Any:
        """The orders before the batch, zeros for those that it places."""
        states, is_known = self._orders.take(changed.ids, _zeros(changed.ids))
        states[changed.is_placed] = np.zeros(1, ORDER_STATE)
        missing = np.flatnonzero(~is_known & ~changed.is_placed)
        ids = changed.ids[missing].tolist()
        found = self._tables.get_orders(ids) if ids else []
        for order in found:
            _refuse_newer(f"order {order.order_id}", order.updated_sequence, before)
        if len(found) < len(ids):
            lost = min(set(ids) - {order.order_id for order in found})
            raise StoreDamaged(f"The store does not have order {lost}, which event {before} or a later one changes.")
        place_of = dict(zip(ids, missing.tolist(), strict=True))
        states[[place_of[order.order_id] for order in found]] = order_columns.states_of(found, self.registry)
        return states

    def _fold_orders(self, changed: ChangedOrders, states: Any, events: Records, part: Slice) -> Any:
        changed.fold(states)
        # The slice may end within a command: the order which that command placed may change again, closed or not.
        unfinished = int(events["command_sequence"][-1]) if part.through else 0
        is_kept = order_columns.is_open(states) | (changed.ids == unfinished)
        self._forget_unfinished(unfinished)
        closed = changed.ids[~is_kept]
        self._orders.drop(closed, _zeros(closed))
        kept = changed.ids[is_kept]
        self._orders.put(kept, _zeros(kept), states[is_kept])
        return order_columns.table_of(states[np.argsort(changed.ids)], self.registry)

    def _forget_unfinished(self, unfinished: int) -> None:
        """Forgets the order that was kept although it was closed; if it is open, `put` or a read brings it back."""
        if self._unfinished and self._unfinished != unfinished:
            earlier = np.array([self._unfinished], np.int64)
            states, is_known = self._orders.take(earlier, _zeros(earlier))
            if is_known[0] and not order_columns.is_open(states)[0]:
                self._orders.drop(earlier, _zeros(earlier))
        self._unfinished = unfinished

    # Candles and days of trades

    def _load_candles(self, changed: BatchCandles, before: int) -> dict[CandleKey, Candle]:
        keys = changed.keys()
        candles = {key: self._candles[key] for key in keys if key in self._candles}
        missing = [key for key in keys if key not in candles]
        for candle in self._tables.get_candles(missing) if missing else ():
            _refuse_newer(f"candle of {candle.symbol}", candle.last_trade_id, before)
            candles[candle.symbol, candle.minute_ns] = candle
        return candles

    def _fold_candles(self, changed: BatchCandles, before: dict[CandleKey, Candle]) -> Sequence[Candle]:
        candles = changed.fold(before)
        if len(candles):
            # Block times never decrease, so candles before the newest minute are final.
            after = self._candles | {(candle.symbol, candle.minute_ns): candle for candle in candles}
            newest = max(minute_ns for _, minute_ns in after)
            self._candles = {key: candle for key, candle in after.items() if key[1] == newest}
        return candles

    def _known_day(self, day: date) -> TradingDay | None:
        return self._day if self._day and self._day.day == day else self._tables.trading_day(day)


def _zeros(keys: Integers) -> Integers:
    """The second half of keys that have one."""
    return np.zeros(len(keys), np.int64)


def slices_of(block: Block, max_events: int, after: int = 0) -> Iterator[Slice]:
    """The slices of a block after event `after`, of `max_events` each; WHOLE for a block that is not larger.

    Where the slices end depends only on the block and `max_events`, not on `after`.
    """
    first, last = block.first_event_sequence, block.last_event_sequence
    while True:
        done = after + 1 - first if after else 0
        through = first + (done // max_events + 1) * max_events - 1
        if through >= last:
            yield Slice(after, 0)
            return
        yield Slice(after, through)
        after = through


def trades_of(block: Block, registry: Registry, part: Slice = WHOLE) -> Sequence[Trade]:
    """The trades of one block, or of a slice of it; `registry` must have its instruments."""
    return BatchTrades(records_of([block], part), registry).table()


def _refuse_newer(what: str, sequence: int, before: int) -> None:
    """Raises StoreDamaged if event `before` or a later one set the row, which then is not the state before it."""
    if sequence >= before:
        raise StoreDamaged(
            f"The stored {what} was set by event {sequence}, but the store says that it is projected to event "
            f"{before - 1} only: run rebuild_projections."
        )

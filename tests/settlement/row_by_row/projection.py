"""Projects blocks row by row in plain Python: the slow reference of `settlement.project.projection`.

    blocks ──▶ legs ──▶ ledger events with balances after, last balances
           ──▶ trades, 1-minute candles, trading days
           ──▶ orders (last state)
           ──▶ definitions (assets, instruments, their statuses and changed values)
           ──▶ account settings (status, fees)

Rows have absolute values, never increments, so writing a projection twice changes nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from matching.core.blocks import Block
from matching.core.codes import NO_FEE, NONE_ID, AccountStatus, CommandKind, EventKind, Side, name_of
from matching.core.reading.event_rows import EventRow, event_rows
from matching.core.reading.instrument_updates import definition_of
from matching.core.registry import REGISTRY_EVENTS, Registry, canonical
from settlement.errors import StoreDamaged
from settlement.stores.base import (
    MAX_VOLUME,
    OPEN_STATUSES,
    WHOLE,
    AccountSetting,
    Balance,
    Before,
    Candle,
    Checkpoint,
    Definition,
    LedgerEvent,
    Order,
    Projection,
    Slice,
    Tables,
    Trade,
    TradingDay,
    Transfer,
)
from tests.ledger.row_by_row import ZERO_FUNDS, BalanceKey, Leg, Overdrawn, apply_legs, legs
from tests.settlement.row_by_row.order_states import SIDES, OrderFold, OrderState, orders_needed
from tests.settlement.row_by_row.recently_used import RecentlyUsed

MINUTE_NS = 60 * 10**9

_TRADE = int(EventKind.TRADE)
_BUY = int(Side.BUY)
_new = tuple.__new__  # creates a named tuple, ten per trade, in half the time of calling its class
_STATUS_CHANGED = int(EventKind.ACCOUNT_STATUS_CHANGED)
_FEES_CHANGED = int(EventKind.ACCOUNT_FEES_CHANGED)
_STATUSES = {int(status): name_of(status) for status in AccountStatus}


class RowProjector:
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
        self._orders: RecentlyUsed[int, OrderState] = RecentlyUsed(kept)
        self._balances: RecentlyUsed[BalanceKey, Balance] = RecentlyUsed(kept)
        self._unfinished = 0  # the command within which the last slice ended; 0: the slice ended with its block
        self._candles: dict[tuple[str, int], Candle] = {}
        self._day: TradingDay | None = None
        self._settings: dict[tuple[int, str, str], AccountSetting] | None = {} if kept is None else None

    def project(self, blocks: Sequence[Block], part: Slice = WHOLE) -> Projection:
        """The projection of one or more consecutive blocks, or of a slice of a single one.

        Reads all rows before it changes its caches. Raises the errors of `tables`, after which it can be called again
        with the same blocks; StoreDamaged if the tables do not have the state before these blocks.
        """
        events = [_events_of(block, part) for block in blocks]
        definitions = [d for block, rows in zip(blocks, events, strict=True) for d in self._define(block, rows)]
        moves = [[(row, legs(row, self.registry)) for row in rows] for rows in events]
        before = part.after + 1 if part.after else blocks[0].first_event_sequence
        orders = self._load_orders(orders_needed(row for rows in events for row in rows), before)
        balances = self._load_balances({leg[:2] for rows in moves for _, found in rows for leg in found}, before)
        trades = [t for block, rows in zip(blocks, events, strict=True) for t in _trades(block, rows, self.registry)]
        candles = self._load_candles(trades, before)
        rows_before = self._before(orders, balances, candles) if self._includes_before else None
        days = self._fold_days(trades)
        settings = self._fold_settings(row for rows in events for row in rows)
        last_block = blocks[-1]
        return Projection(
            checkpoint=Checkpoint(last_block.number, last_block.hash, last_block.epoch),
            trades=trades,
            ledger_events=self._fold_ledger(blocks, moves, balances),
            orders=self._fold_orders(blocks, events, orders, part),
            balances=list(balances.values()),
            candles=self._fold_candles(trades, candles),
            days=days,
            definitions=definitions,
            settings=settings,
            before=rows_before,
            slice=part,
            transfers=[
                self._transfer(block, row)
                for block, rows in zip(blocks, events, strict=True)
                for row in rows
                if row.kind in (EventKind.DEPOSITED, EventKind.WITHDRAWN)
            ],
        )

    def _transfer(self, block: Block, row: EventRow) -> Transfer:
        command = block.commands[row.command_sequence - block.first_command_sequence]
        asset = self.registry.assets[row.instrument].symbol
        kind = "deposit" if row.kind == EventKind.DEPOSITED else "withdrawal"
        words = kind, row.amount, block.text(command)
        return Transfer(row.sequence, block.number, block.timestamp_ns, row.account, asset, *words)

    def _before(
        self, orders: dict[int, OrderState], balances: dict[BalanceKey, Balance], candles: dict[tuple[str, int], Candle]
    ) -> Before:
        return Before([order.row() for order in orders.values()], list(balances.values()), list(candles.values()))

    def open_orders(self) -> list[Order]:
        """All open orders, also waiting ones, by order_id, of a projector that caches everything (`kept` is None)."""
        return [order.row() for _, order in sorted(self._orders.values().items())]

    def balances(self) -> list[Balance]:
        """All balances, by (account, asset), of a projector that caches everything (`kept` is None)."""
        return [balance for _, balance in sorted(self._balances.values().items())]

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

    def _define(self, block: Block, rows: Iterable[EventRow]) -> Iterable[Definition]:
        """Applies the block's definitions to the registry; repeating it changes nothing."""
        for row in rows:
            if row.kind in REGISTRY_EVENTS:
                command = block.commands[row.command_sequence - block.first_command_sequence]
                definition = Definition(row.sequence, int(command["kind"]), self._text_of(block, command))
                self.registry.apply(definition.kind, definition.text)
                yield definition

    def _text_of(self, block: Block, command: Any) -> str:
        if command["kind"] == CommandKind.INSTRUMENT_UPDATE:  # has numbers only, so that the kernel can apply it
            return canonical(definition_of(command, self.registry.instruments[command["instrument"]]))
        return block.text(command)

    # Account settings

    def _fold_settings(self, rows: Iterable[EventRow]) -> list[AccountSetting]:
        changed = {(setting.account, setting.kind, setting.symbol): setting for setting in self._settings_in(rows)}
        if self._settings is not None:
            self._settings |= changed
        return list(changed.values())

    def _settings_in(self, rows: Iterable[EventRow]) -> Iterable[AccountSetting]:
        for row in rows:
            if row.kind == _STATUS_CHANGED:
                yield AccountSetting(row.account, "status", "", _STATUSES[row.side], None, None, row.sequence)
            elif row.kind == _FEES_CHANGED:
                symbol = "" if row.instrument == NONE_ID else self.registry.instruments[row.instrument].symbol
                is_removed = row.price == NO_FEE
                yield AccountSetting(
                    account=row.account,
                    kind="fees",
                    symbol=symbol,
                    status=None,
                    maker_fee=None if is_removed else row.price,
                    taker_fee=None if is_removed else row.quantity,
                    sequence=row.sequence,
                )

    # Balances and ledger events

    def _load_balances(self, keys: set[BalanceKey], before: int) -> dict[BalanceKey, Balance]:
        found = self._balances.take(keys)
        missing = [key for key in keys if key not in found]
        for balance in self._tables.get_balances(missing) if missing else ():
            _refuse_newer(f"balance of account {balance.account} in {balance.asset}", balance.sequence, before)
            found[balance.account, balance.asset] = balance
        return found

    def _fold_ledger(
        self,
        blocks: Sequence[Block],
        moves: list[list[tuple[EventRow, list[Leg]]]],
        balances: dict[BalanceKey, Balance],
    ) -> list[LedgerEvent]:
        """The ledger events in order; updates `balances` to the last state of each."""
        funds = {key: (balance.available, balance.locked) for key, balance in balances.items()}
        set_by: dict[BalanceKey, int] = {}
        ledger_events = []
        for block, rows in zip(blocks, moves, strict=True):
            number, at_ns = block.number, block.timestamp_ns
            for (sequence, *_), found in rows:
                try:
                    after = apply_legs(found, funds)
                except Overdrawn as error:
                    raise StoreDamaged(f"Event {sequence} does not fit the stored balances: {error}") from error
                for place, (leg, left) in enumerate(zip(found, after, strict=True)):
                    set_by[leg[:2]] = sequence
                    ledger_events.append(_new(LedgerEvent, (sequence, place, number, at_ns, *leg, *left)))
        for key, sequence in set_by.items():
            balances[key] = Balance(*key, *funds.get(key, ZERO_FUNDS), sequence)
        self._balances.put(balances)
        return ledger_events

    # Orders

    def _load_orders(self, ids: set[int], before: int) -> dict[int, OrderState]:
        found = self._orders.take(ids)
        missing = [order_id for order_id in ids if order_id not in found]
        for order in self._tables.get_orders(missing) if missing else ():
            _refuse_newer(f"order {order.order_id}", order.updated_sequence, before)
            found[order.order_id] = OrderState(*order)
        if len(found) < len(ids):
            lost = min(ids - found.keys())
            raise StoreDamaged(f"The store does not have order {lost}, which event {before} or a later one changes.")
        return found

    def _fold_orders(
        self, blocks: Sequence[Block], events: list[list[EventRow]], orders: dict[int, OrderState], part: Slice
    ) -> list[Order]:
        symbols = [instrument.symbol for instrument in self.registry.instruments]
        touched: set[int] = set()
        for block, rows in zip(blocks, events, strict=True):
            orders_of_block = OrderFold(block, symbols, orders)
            for row in rows:
                orders_of_block.apply(row, touched)
        # The slice may end within a command: the order which that command placed may change again, closed or not.
        unfinished = events[-1][-1].command_sequence if part.through else 0
        is_open = {number for number, order in orders.items() if order.status in OPEN_STATUSES}
        kept = {number: order for number, order in orders.items() if number in is_open or number == unfinished}
        self._orders.put(kept)
        earlier = self._orders.take({self._unfinished} - {unfinished})
        self._orders.forget(orders.keys() - kept.keys())
        self._orders.forget([number for number, order in earlier.items() if order.status not in OPEN_STATUSES])
        self._unfinished = unfinished
        return [orders[order_id].row() for order_id in sorted(touched)]

    # Candles and days of trades

    def _load_candles(self, trades: Sequence[Trade], before: int) -> dict[tuple[str, int], Candle]:
        keys = {(trade.symbol, trade.timestamp_ns // MINUTE_NS * MINUTE_NS) for trade in trades}
        candles = {key: self._candles[key] for key in keys if key in self._candles}
        missing = [key for key in keys if key not in candles]
        for candle in self._tables.get_candles(missing) if missing else ():
            _refuse_newer(f"candle of {candle.symbol}", candle.last_trade_id, before)
            candles[candle.symbol, candle.minute_ns] = candle
        return candles

    def _fold_candles(self, trades: Sequence[Trade], candles: dict[tuple[str, int], Candle]) -> list[Candle]:
        for trade in trades:
            key = (trade.symbol, trade.timestamp_ns // MINUTE_NS * MINUTE_NS)
            quote = trade.price * trade.quantity * self.registry.instrument_by_symbol[trade.symbol].quote_unit
            candles[key] = _with_trade(candles.get(key), trade, quote, key[1])
        self._candles.update(candles)
        if trades:
            # Block times never decrease, so candles before the newest minute are final.
            newest = trades[-1].timestamp_ns // MINUTE_NS * MINUTE_NS
            self._candles = {key: candle for key, candle in self._candles.items() if key[1] == newest}
        return list(candles.values())

    def _fold_days(self, trades: Sequence[Trade]) -> list[TradingDay]:
        days: dict[date, TradingDay] = {}
        for at_ns, trade_id in _ends_of_blocks(trades):
            day = day_of(at_ns)
            known = days.get(day) or self._known_day(day)
            days[day] = TradingDay(day, known.first_trade_id if known else trade_id, trade_id)
        for trading_day in days.values():
            self._day = trading_day
        return list(days.values())

    def _known_day(self, day: date) -> TradingDay | None:
        return self._day if self._day and self._day.day == day else self._tables.trading_day(day)


def _events_of(block: Block, part: Slice) -> list[EventRow]:
    first = block.first_event_sequence
    start = part.after + 1 - first if part.after else 0
    stop = part.through + 1 - first if part.through else block.event_count
    return event_rows(block.events[start:stop])


def _trades(block: Block, rows: Iterable[EventRow], registry: Registry) -> Iterable[Trade]:
    for row in rows:
        if row.kind != _TRADE:
            continue
        taker, maker = row.account, row.other_account
        buyer, seller = (taker, maker) if row.side == _BUY else (maker, taker)
        yield Trade(
            trade_id=row.sequence,
            block_number=block.number,
            timestamp_ns=block.timestamp_ns,
            symbol=registry.instruments[row.instrument].symbol,
            price=row.price,
            quantity=row.quantity,
            taker_side=SIDES[row.side],
            maker_order_id=row.other_order_id,
            taker_order_id=row.order_id,
            buyer=buyer,
            seller=seller,
            buyer_fee=row.buyer_fee,
            seller_fee=row.seller_fee,
            trade_number=row.trade_number or None,
        )


def day_of(at_ns: int) -> date:
    """The UTC day of a time in nanoseconds."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).date()


def _ends_of_blocks(trades: Sequence[Trade]) -> Iterable[tuple[int, int]]:
    """(time, id) of the first and last trade of each block, in order. All trades of a block have the same time."""
    for place, trade in enumerate(trades):
        is_first = place == 0 or trades[place - 1].block_number != trade.block_number
        is_last = place == len(trades) - 1 or trades[place + 1].block_number != trade.block_number
        if is_first or is_last:
            yield trade.timestamp_ns, trade.trade_id


def _with_trade(candle: Candle | None, trade: Trade, quote: int, minute_ns: int) -> Candle:
    price, quantity = trade.price, trade.quantity
    bought = (quantity, quote) if trade.taker_side == "buy" else (0, 0)
    if candle is None:
        return Candle(trade.symbol, minute_ns, price, price, price, price, quantity, 1, trade.trade_id, quote, *bought)
    known = candle.quote_volume, candle.taker_buy_volume, candle.taker_buy_quote_volume
    return Candle(
        candle.symbol,
        minute_ns,
        candle.open,
        max(candle.high, price),
        min(candle.low, price),
        price,
        min(candle.volume + quantity, MAX_VOLUME),
        candle.trade_count + 1,
        trade.trade_id,
        *(
            None if volume is None else min(volume + more, MAX_VOLUME)
            for volume, more in zip(known, (quote, *bought), strict=True)
        ),
    )


def _refuse_newer(what: str, sequence: int, before: int) -> None:
    """Raises StoreDamaged if event `before` or a later one set the row, which then is not the state before it."""
    if sequence >= before:
        raise StoreDamaged(
            f"The stored {what} was set by event {sequence}, but the store says that it is projected to event "
            f"{before - 1} only: run rebuild_projections."
        )

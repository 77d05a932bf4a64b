"""Orders and fills by account and instrument, folded from events.

The engine's state has what an open order needs to be matched. This log adds what traders ask for: names, times, fills,
and closed orders, of which it keeps a number. An order that is older than the log is adopted from the engine's state
when an event or a query names it; what the state lacks of it (name, times) is read from the store.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gateway.model.records import Amendment, Fill, Order, OrderStatus
from matching.core.blocks import Block
from matching.core.codes import (
    PRICED_TYPES,
    TRIGGER_TYPES,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    order_list_id,
)
from matching.core.layout import COMMAND
from matching.core.reading.event_rows import EventRow
from matching.core.registry import Instrument
from matching.core.texts import SEPARATOR

UNKNOWN_QUOTE = -1
"""`filled_quote` of an order that has traded before the log began."""

_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_TRADE = int(EventKind.TRADE)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
_LIMIT = int(OrderType.LIMIT)
_OCO = int(CommandKind.OCO)
_BY_QUOTE = int(EventFlag.BY_QUOTE)
_KEPT_PRIORITY = int(EventFlag.KEPT_PRIORITY)
_POST_ONLY = int(CommandFlag.POST_ONLY)
_NEW_NAME = int(CommandFlag.NEW_NAME)
_SELF_TRADE = int(Reason.SELF_TRADE)
_QUOTE_QUANTITY_USED = int(Reason.QUOTE_QUANTITY_USED)
_PRICED = frozenset(map(int, PRICED_TYPES))
_TRIGGER = frozenset(map(int, TRIGGER_TYPES))
_SIDES = tuple(Side)
_TYPES = tuple(OrderType)
_TIMES_IN_FORCE = tuple(TimeInForce)
_PREVENTIONS = tuple(SelfTradePrevention)
_OPEN, _WAITING, _FILLED, _ENDED = OrderStatus.OPEN, OrderStatus.WAITING, OrderStatus.FILLED, OrderStatus.CANCELLED

assert COMMAND.names is not None
_KIND, _TYPE, _TIF, _PREVENTION, _FLAGS, _LENGTH, _OFFSET, _AMOUNT = (
    COMMAND.names.index(name)
    for name in (
        "kind",
        "order_type",
        "time_in_force",
        "self_trade_prevention",
        "flags",
        "text_length",
        "text_offset",
        "amount",
    )
)

CommandRow = tuple[int, ...]
"""A COMMAND record as plain integers."""


@dataclass(slots=True)
class Entry:
    """A mutable `Order`. `is_partial`: it was adopted, and its name and times are not known yet."""

    order_id: int
    account: int
    instrument_id: int
    client_order_id: str
    list_client_order_id: str
    side: int
    order_type: int
    time_in_force: int
    post_only: bool
    prevention: int
    price: int | None
    trigger_price: int | None
    quantity: int | None
    quote_quantity: int | None
    visible_quantity: int | None
    order_list_id: int | None
    filled: int
    filled_quote: int
    status: OrderStatus
    placed_at_ns: int
    working_at_ns: int | None
    updated_at_ns: int
    updated_sequence: int
    reason: int = 0
    met_order_id: int | None = None
    prevented_quantity: int = 0
    amendments: list[Amendment] | None = None
    is_partial: bool = False

    def order(self) -> Order:
        return Order(
            order_id=self.order_id,
            account=self.account,
            instrument_id=self.instrument_id,
            client_order_id=self.client_order_id,
            side=_SIDES[self.side],
            order_type=_TYPES[self.order_type],
            time_in_force=_TIMES_IN_FORCE[self.time_in_force],
            post_only=self.post_only,
            self_trade_prevention=_PREVENTIONS[self.prevention],
            price=self.price,
            trigger_price=self.trigger_price,
            quantity=self.quantity,
            quote_quantity=self.quote_quantity,
            visible_quantity=self.visible_quantity,
            order_list_id=self.order_list_id,
            filled=self.filled,
            filled_quote=self.filled_quote,
            status=self.status,
            reason=Reason(self.reason),
            met_order_id=self.met_order_id,
            prevented_quantity=self.prevented_quantity,
            placed_at_ns=self.placed_at_ns,
            working_at_ns=self.working_at_ns,
            updated_at_ns=self.updated_at_ns,
            updated_sequence=self.updated_sequence,
        )

    def fill(self, lots: int, quote: int, at_ns: int, sequence: int) -> bool:
        """Counts a trade; returns whether it filled the order. One by quote_quantity ends with a later event."""
        self.filled += lots
        if self.filled_quote >= 0:
            self.filled_quote += quote
        self.updated_at_ns, self.updated_sequence = at_ns, sequence
        if self.filled == self.quantity:
            self.status = _FILLED
            return True
        return False


@dataclass(slots=True)
class AccountLog:
    """The orders and fills of one account in one instrument, oldest first."""

    orders: dict[int, Entry] = field(default_factory=dict)
    by_name: dict[str, int] = field(default_factory=dict)
    fills: deque[Fill] = field(default_factory=deque)


Adopt = Callable[[int], Entry | None]
"""The entry of an open order that is only in the engine's state, None if it is not open."""


class OrderLog:
    """`kept_orders` closed orders and `kept_fills` fills are kept, over all accounts; open orders always."""

    def __init__(self, adopt: Adopt, *, kept_orders: int, kept_fills: int) -> None:
        self._adopt = adopt
        self._kept_orders = kept_orders
        self._kept_fills = kept_fills
        self._entries: dict[int, Entry] = {}
        self._logs: dict[tuple[int, int], AccountLog] = {}
        self._closed: deque[int] = deque()
        self._filled: deque[AccountLog] = deque()
        self.forgotten_order = 0
        """The newest order that was forgotten: the log has all orders that were placed after it since it began."""
        self.forgotten_fill = 0
        """The newest trade (event sequence) of which a fill was forgotten."""

    def entry(self, order_id: int) -> Entry | None:
        """Of an open order, or a closed one that is kept."""
        found = self._entries.get(order_id)
        if found is None:
            found = self._adopt(order_id)
            if found is not None:
                self._add(found)
        return found

    def of(self, account: int, instrument: int) -> AccountLog | None:
        return self._logs.get((account, instrument))

    def of_account(self, account: int, instruments: Iterable[int]) -> Iterator[AccountLog]:
        for instrument in instruments:
            found = self._logs.get((account, instrument))
            if found is not None:
                yield found

    # Folding

    def adopt_before(self, block: Block, first_known: int) -> None:
        """Adopts the orders of before `first_known` that the block's events name. Call it before applying the block."""
        for name in ("order_id", "other_order_id"):
            ids = block.events[name]
            for order_id in ids[(ids > 0) & (ids < first_known)].tolist():
                self.entry(order_id)

    def begin(self, block: Block) -> None:
        self._commands: list[CommandRow] = block.commands.tolist()
        self._texts = block.texts
        self._first = block.first_command_sequence
        self._at_ns = block.timestamp_ns

    def command(self, event: EventRow) -> CommandRow:
        return self._commands[event.command_sequence - self._first]

    def strings(self, command: CommandRow) -> tuple[str, str]:
        """Both strings of a command, "" for one that it does not have."""
        length = command[_LENGTH]
        if not length:
            return "", ""
        offset = command[_OFFSET]
        first, _, second = self._texts[offset : offset + length].partition(SEPARATOR)
        return first.decode("ascii"), second.decode("ascii")

    def apply(self, event: EventRow, instrument: Instrument) -> tuple[Fill, ...]:
        """Applies one event of an order. Returns the fills of a trade, the taker's first."""
        kind = event.kind
        if kind == _TRADE:
            return self._trade(event, instrument)
        if kind == _ACCEPTED:
            self._add(self._placed(event))
        elif kind == _CANCELLED:
            self._cancel(self._entries[event.order_id], event)
        elif kind == _REPLACED:
            self._replace(self._entries[event.order_id], event)
        elif kind == _TRIGGERED:
            entry = self._entries[event.order_id]
            entry.status, entry.working_at_ns = _OPEN, self._at_ns
            entry.updated_at_ns, entry.updated_sequence = self._at_ns, event.sequence
        return ()

    def _trade(self, event: EventRow, instrument: Instrument) -> tuple[Fill, ...]:
        taker, maker = self._entries[event.order_id], self._entries[event.other_order_id]
        quote = event.quantity * event.price * instrument.quote_unit
        fills = self._fill(event, taker, quote, is_maker=False), self._fill(event, maker, quote, is_maker=True)
        while len(self._filled) > self._kept_fills:
            self.forgotten_fill = self._filled.popleft().fills.popleft().trade_id
        return fills

    def _fill(self, event: EventRow, entry: Entry, quote: int, *, is_maker: bool) -> Fill:
        fill = Fill(
            event.trade_number,
            event.sequence,
            entry.order_id,
            entry.order_list_id,
            entry.account,
            entry.instrument_id,
            event.price,
            event.quantity,
            quote,
            event.seller_fee if entry.side else event.buyer_fee,
            _SIDES[entry.side],
            is_maker,
            self._at_ns,
        )
        log = self._logs[entry.account, entry.instrument_id]
        log.fills.append(fill)
        self._filled.append(log)
        if entry.fill(event.quantity, quote, self._at_ns, event.sequence):
            self._close(entry)
        return fill

    def _placed(self, event: EventRow) -> Entry:
        command = self.command(event)
        kind, order_type, amount = command[_KIND], command[_TYPE], command[_AMOUNT]
        name, list_name = self.strings(command)
        by_quote = event.flags & _BY_QUOTE
        waits = order_type in _TRIGGER
        return Entry(
            event.order_id,
            event.account,
            event.instrument,
            name,
            list_name if kind == _OCO else "",
            event.side,
            order_type,
            command[_TIF],
            bool(command[_FLAGS] & _POST_ONLY),
            command[_PREVENTION],
            event.price if order_type in _PRICED else None,
            amount if waits else None,
            None if by_quote else event.quantity,
            amount if by_quote else None,
            (amount or None) if order_type == _LIMIT else None,
            order_list_id(kind, event.order_id),
            0,
            0,
            _WAITING if waits else _OPEN,
            self._at_ns,
            None if waits else self._at_ns,
            self._at_ns,
            event.sequence,
        )

    def _cancel(self, entry: Entry, event: EventRow) -> None:
        entry.reason = event.reason
        is_done = event.reason == _QUOTE_QUANTITY_USED and entry.filled
        entry.status = _FILLED if is_done else _ENDED
        if event.reason == _SELF_TRADE:
            entry.met_order_id = event.other_order_id or None
            entry.prevented_quantity = 0 if event.flags & _BY_QUOTE else event.quantity
        entry.updated_at_ns, entry.updated_sequence = self._at_ns, event.sequence
        self._close(entry)

    def _replace(self, entry: Entry, event: EventRow) -> None:
        quantity, earlier_name = entry.filled + event.quantity, entry.client_order_id
        command = self.command(event)
        if command[_FLAGS] & _NEW_NAME:
            log = self._logs[entry.account, entry.instrument_id]
            self._forget_name(log, entry)
            entry.client_order_id = self.strings(command)[1]
            log.by_name[entry.client_order_id] = entry.order_id
        entry.amendments = entry.amendments or []
        entry.amendments.append(
            Amendment(
                event.sequence,
                entry.order_id,
                entry.quantity or 0,
                quantity,
                bool(event.flags & _KEPT_PRIORITY),
                self._at_ns,
                earlier_name,
                entry.client_order_id,
            )
        )
        entry.price, entry.quantity = event.price, quantity
        entry.updated_at_ns, entry.updated_sequence = self._at_ns, event.sequence

    def _add(self, entry: Entry) -> None:
        self._entries[entry.order_id] = entry
        key = (entry.account, entry.instrument_id)
        log = self._logs.get(key)
        if log is None:
            log = self._logs[key] = AccountLog()
        log.orders[entry.order_id] = entry
        if entry.client_order_id:
            log.by_name[entry.client_order_id] = entry.order_id

    def name(self, entry: Entry, name: str) -> None:
        """Gives an adopted entry the name that the store has."""
        entry.client_order_id = name
        if name:
            self._logs[entry.account, entry.instrument_id].by_name.setdefault(name, entry.order_id)

    def _close(self, entry: Entry) -> None:
        self._closed.append(entry.order_id)
        while len(self._closed) > self._kept_orders:
            self._forget(self._entries.pop(self._closed.popleft()))

    def _forget(self, entry: Entry) -> None:
        log = self._logs[entry.account, entry.instrument_id]
        del log.orders[entry.order_id]
        self._forget_name(log, entry)
        self.forgotten_order = max(self.forgotten_order, entry.order_id)

    @staticmethod
    def _forget_name(log: AccountLog, entry: Entry) -> None:
        if log.by_name.get(entry.client_order_id) == entry.order_id:
            del log.by_name[entry.client_order_id]

"""Derives the state of orders from events: the rows of the `orders` table."""

from collections.abc import Iterable
from dataclasses import dataclass

from matching.core import migrations
from matching.core.blocks import Block
from matching.core.codes import (
    PRICED_TYPES,
    TRIGGER_TYPES,
    CommandFlag,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    name_of,
    order_list_id,
)
from matching.core.layout import COMMAND
from matching.core.reading.event_rows import EventRow
from settlement.stores.base import Order

SIDES = tuple(name_of(side) for side in Side)
_ORDER_TYPES = tuple(name_of(order_type) for order_type in OrderType)
_TIMES_IN_FORCE = tuple(name_of(time_in_force) for time_in_force in TimeInForce)
_PREVENTIONS = tuple(name_of(mode) for mode in SelfTradePrevention)
_REASONS = {int(reason): name_of(reason) for reason in Reason}

_TRADE = int(EventKind.TRADE)
_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
_LIMIT = int(OrderType.LIMIT)
_PRICED = frozenset(map(int, PRICED_TYPES))
_TRIGGER = frozenset(map(int, TRIGGER_TYPES))
_QUOTE_QUANTITY_USED = _REASONS[Reason.QUOTE_QUANTITY_USED]


assert COMMAND.names is not None
_KIND = COMMAND.names.index("kind")
_FLAGS = COMMAND.names.index("flags")
_PREVENTION = COMMAND.names.index("self_trade_prevention")
_ORDER_TYPE = COMMAND.names.index("order_type")
_TIME_IN_FORCE = COMMAND.names.index("time_in_force")
_AMOUNT = COMMAND.names.index("amount")


@dataclass(slots=True)
class OrderState:
    """A mutable `settlement.stores.base.Order`."""

    order_id: int
    account: int
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None
    price: int | None
    quantity: int | None
    quote_quantity: int | None
    filled: int
    remaining: int
    status: str
    reason: str | None
    placed_at_ns: int
    updated_at_ns: int
    updated_sequence: int
    trigger_price: int | None
    visible_quantity: int | None
    order_list_id: int | None
    triggered_at_ns: int | None

    def row(self) -> Order:
        return Order(
            self.order_id,
            self.account,
            self.symbol,
            self.side,
            self.order_type,
            self.time_in_force,
            self.post_only,
            self.self_trade_prevention,
            self.client_order_id,
            self.price,
            self.quantity,
            self.quote_quantity,
            self.filled,
            self.remaining,
            self.status,
            self.reason,
            self.placed_at_ns,
            self.updated_at_ns,
            self.updated_sequence,
            self.trigger_price,
            self.visible_quantity,
            self.order_list_id,
            self.triggered_at_ns,
        )

    def fill(self, lots: int, at_ns: int, sequence: int) -> None:
        """Counts a trade. An order by quote_quantity stays open: how it ends is told by a later event."""
        self.filled += lots
        if self.quantity is not None:
            self.remaining -= lots
            if self.remaining == 0:
                self.status = "filled"
        self.updated_at_ns, self.updated_sequence = at_ns, sequence

    def cancel(self, reason: str | None, at_ns: int, sequence: int) -> None:
        """Ends the order. One that has traded and used its quote_quantity is filled."""
        self.remaining = 0
        self.status = "filled" if reason == _QUOTE_QUANTITY_USED and self.filled else "cancelled"
        self.reason = reason
        self.updated_at_ns, self.updated_sequence = at_ns, sequence

    def trigger(self, at_ns: int, sequence: int) -> None:
        self.status, self.triggered_at_ns = "open", at_ns
        self.updated_at_ns, self.updated_sequence = at_ns, sequence

    def replace(self, price: int, open_lots: int, name: str | None, at_ns: int, sequence: int) -> None:
        """`name`: the new client order id; None: it stays."""
        self.client_order_id = name or self.client_order_id
        self.price, self.remaining = price, open_lots
        self.quantity = self.filled + open_lots
        self.updated_at_ns, self.updated_sequence = at_ns, sequence

    def end_with_unspent_quote(self, at_ns: int, sequence: int) -> None:
        """Ends an order by quote_quantity whose remaining amount is less than the price of a lot (layouts 1 and 2)."""
        if self.filled:
            self.updated_at_ns, self.updated_sequence = at_ns, sequence
        else:
            self.cancel(None, at_ns, sequence)


def orders_needed(events: Iterable[EventRow]) -> set[int]:
    """The orders that these events change and that were placed earlier."""
    needed: set[int] = set()
    placed: set[int] = set()
    for event in events:
        kind = event.kind
        if kind == _TRADE:
            needed.add(event.order_id)
            needed.add(event.other_order_id)
        elif kind == _ACCEPTED:
            placed.add(event.order_id)
        elif kind in (_CANCELLED, _REPLACED, _TRIGGERED):
            needed.add(event.order_id)
        if event.taker_unlock:
            needed.add(event.command_sequence)
    return needed - placed


class OrderFold:
    """Applies the events of one block to `orders`, the states of the orders that they change."""

    def __init__(self, block: Block, symbols: list[str], orders: dict[int, OrderState]) -> None:
        self._block = block
        self._commands: list[tuple[int, ...]] = block.commands.tolist()
        self._symbols = symbols
        self._orders = orders
        self._at_ns = block.timestamp_ns
        self._is_early = block.layout_version < migrations.FIRST_LAYOUT_WITH_TRIGGERS

    def apply(self, event: EventRow, touched: set[int]) -> None:
        """Applies an event; adds the ids of the changed orders to `touched`."""
        sequence, order_id, kind = event.sequence, event.order_id, event.kind
        if kind == _TRADE:
            self._fill_taker(self._orders[order_id], event)
            self._orders[event.other_order_id].fill(event.quantity, self._at_ns, sequence)
            touched.add(event.other_order_id)
        elif kind == _ACCEPTED:
            self._orders[order_id] = self._placed(event)
        elif kind == _CANCELLED:
            self._orders[order_id].cancel(_REASONS[event.reason], self._at_ns, sequence)
        elif kind == _TRIGGERED:
            self._orders[order_id].trigger(self._at_ns, sequence)
        elif kind == _REPLACED:
            name = self._new_name(event)
            self._orders[order_id].replace(event.price, event.quantity, name, self._at_ns, sequence)
        else:
            return
        touched.add(order_id)
        if event.taker_unlock:
            # The id of an order is the sequence of its command, so this is the taker. The event itself may cancel
            # another order of the account.
            self._orders[event.command_sequence].end_with_unspent_quote(self._at_ns, sequence)
            touched.add(event.command_sequence)

    def _fill_taker(self, taker: OrderState, event: EventRow) -> None:
        taker.fill(event.quantity, self._at_ns, event.sequence)
        if taker.quantity is None and self._is_early:
            taker.status = "filled"  # unless its cancellation follows; no event told of its end

    def _command_of(self, event: EventRow) -> int:
        """The place of the event's command in the block."""
        return event.command_sequence - self._block.first_command_sequence

    def _new_name(self, event: EventRow) -> str | None:
        place = self._command_of(event)
        if not self._commands[place][_FLAGS] & CommandFlag.NEW_NAME:
            return None
        return self._block.strings(self._block.commands[place])[1]

    def _placed(self, event: EventRow) -> OrderState:
        place = self._command_of(event)
        command = self._commands[place]
        order_type, amount = command[_ORDER_TYPE], command[_AMOUNT]
        by_quote = event.flags & EventFlag.BY_QUOTE
        waits = order_type in _TRIGGER
        return OrderState(
            order_id=event.order_id,
            account=event.account,
            symbol=self._symbols[event.instrument],
            side=SIDES[event.side],
            order_type=_ORDER_TYPES[order_type],
            time_in_force=_TIMES_IN_FORCE[command[_TIME_IN_FORCE]],
            post_only=bool(command[_FLAGS] & CommandFlag.POST_ONLY),
            self_trade_prevention=_PREVENTIONS[command[_PREVENTION]],
            client_order_id=self._block.text(self._block.commands[place]) or None,
            price=event.price if order_type in _PRICED else None,
            quantity=None if by_quote else event.quantity,
            quote_quantity=amount if by_quote else None,
            filled=0,
            remaining=0 if by_quote else event.quantity,
            status="waiting" if waits else "open",
            reason=None,
            placed_at_ns=self._at_ns,
            updated_at_ns=self._at_ns,
            updated_sequence=event.sequence,
            trigger_price=amount if waits else None,
            visible_quantity=amount or None if order_type == _LIMIT else None,
            order_list_id=order_list_id(command[_KIND], event.order_id),
            triggered_at_ns=None,
        )

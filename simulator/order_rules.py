"""Rules of orders, checked on the events of a chain (docs/semantics.md, sections 4 and 5).

All engines of a run execute the same code: where it breaks a rule everywhere alike, they agree. This follows the open
orders by events alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matching.core import layout
from matching.core.blocks import Block
from matching.core.codes import (
    TRIGGER_TYPES,
    AccountStatus,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    Side,
)
from matching.core.engine import Engine

_STOPS = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
_FIELDS = tuple(layout.EVENT.names or ())

Event = dict[str, Any]


@dataclass
class _Open:
    order_id: int
    instrument: int
    lots: int  # open ones; of an order by quote_quantity 0
    is_by_quote: bool
    trigger_price: int = 0  # while it waits
    is_for_a_rise: bool = False
    other_leg: int = 0  # while both legs are open

    def is_reached_by(self, lowest: int, highest: int) -> bool:
        return bool(self.trigger_price) and (
            highest >= self.trigger_price if self.is_for_a_rise else lowest <= self.trigger_price
        )


def orders_follow_the_rules(chain: Sequence[Block], engine: Engine) -> Iterator[str]:
    """`engine` is at the end of the chain. Checks these rules, and that it has the orders that the events leave open.

    An order waits no longer once a trade has reached its trigger; of a one-cancels-other no leg trades, is triggered or
    ends while the other stays; the lots of an order are traded or cancelled, all of them and no more; a restricted
    account places no order. The limits of one command's work (a million) are out of reach here.
    """
    rules = _Rules()
    for block in chain:
        yield from rules.read(block)
    yield from rules.compare(engine)


class _Rules:
    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._statuses: dict[int, int] = {}
        self._command = 0
        self._traded: dict[int, tuple[int, int]] = {}  # lowest and highest price of the command, by instrument
        self._must_go: set[int] = set()  # legs whose other leg has ended in this command
        self._handlers = {
            EventKind.ORDER_TRIGGERED: self._triggered,
            EventKind.TRADE: self._trade,
            EventKind.ORDER_CANCELLED: self._cancelled,
            EventKind.ORDER_REPLACED: self._replaced,
        }

    def read(self, block: Block) -> Iterator[str]:
        for row in block.events.tolist():
            event = dict(zip(_FIELDS, row, strict=True))
            if event["command_sequence"] != self._command:
                yield from self._end_command()
                self._command = event["command_sequence"]
            kind = event["kind"]
            if kind == EventKind.ORDER_ACCEPTED:
                command = block.commands[self._command - block.first_command_sequence]
                yield from self._accepted(event, command)
            elif kind == EventKind.ACCOUNT_STATUS_CHANGED:
                self._statuses[event["account"]] = event["side"]
            elif kind in self._handlers:
                yield from self._handlers[kind](event)

    def compare(self, engine: Engine) -> Iterator[str]:
        yield from self._end_command()
        held = {order.order_id: order.remaining for order in engine.open_orders()}
        held |= {order.order_id: order.quantity for order in engine.pending_orders()}
        found = {order.order_id: order.lots for order in self._open.values()}
        for order_id in sorted(held.keys() | found.keys()):
            by_events, in_engine = found.get(order_id, 0), held.get(order_id, 0)
            if by_events != in_engine:
                yield f"order {order_id} has {by_events} open lots by the events, and {in_engine} in the engine"

    def _end_command(self) -> Iterator[str]:
        for order in self._open.values():
            if order.instrument in self._traded and order.is_reached_by(*self._traded[order.instrument]):
                yield f"order {order.order_id} still waits after command {self._command}, which traded at its trigger"
                order.trigger_price = 0  # told once
        for order_id in sorted(self._must_go & self._open.keys()):
            yield f"order {order_id} is open after command {self._command}, which ended the other leg of its list"
        self._traded, self._must_go = {}, set()

    def _accepted(self, event: Event, command: Any) -> Iterator[str]:
        order_id, by_quote = event["order_id"], bool(event["flags"] & EventFlag.BY_QUOTE)
        if self._statuses.get(event["account"], AccountStatus.ACTIVE) != AccountStatus.ACTIVE:
            yield f"order {order_id} was accepted from account {event['account']}, which is restricted"
        order = _Open(order_id, event["instrument"], 0 if by_quote else event["quantity"], by_quote)
        if command["order_type"] in TRIGGER_TYPES:
            order.trigger_price = int(command["amount"])
            order.is_for_a_rise = (event["side"] == Side.BUY) == (command["order_type"] in _STOPS)
        if command["kind"] == CommandKind.OCO_STOP:
            order.other_leg, self._open[order_id - 1].other_leg = order_id - 1, order_id
        self._open[order_id] = order

    def _triggered(self, event: Event) -> Iterator[str]:
        order = self._open[event["order_id"]]
        order.trigger_price = 0
        yield from self._alone([order], "was triggered")

    def _trade(self, event: Event) -> Iterator[str]:
        price, instrument = event["price"], event["instrument"]
        lowest, highest = self._traded.get(instrument, (price, price))
        self._traded[instrument] = min(lowest, price), max(highest, price)
        orders = [self._open[event[name]] for name in ("order_id", "other_order_id")]
        yield from self._alone(orders, "traded")
        for order in orders:
            order.lots -= 0 if order.is_by_quote else event["quantity"]
            if order.lots < 0:
                yield f"order {order.order_id} has traded more lots than it had"
            if order.lots <= 0 and not order.is_by_quote:
                del self._open[order.order_id]

    def _alone(self, orders: Iterable[_Open], what: str) -> Iterator[str]:
        for order in orders:
            if order.other_leg:
                yield f"order {order.order_id} {what} while order {order.other_leg}, its other leg, was open"
                self._part(order)

    def _part(self, order: _Open) -> None:
        """The other leg is an order like any other from now on."""
        self._open[order.other_leg].other_leg = order.other_leg = 0

    def _cancelled(self, event: Event) -> Iterator[str]:
        order = self._open.pop(event["order_id"])
        if not order.is_by_quote and order.lots != event["quantity"]:
            yield f"order {order.order_id} was cancelled with {event['quantity']} lots, and {order.lots} were open"
        if order.other_leg:
            if event["reason"] != Reason.OCO:
                self._must_go.add(order.other_leg)
            self._part(order)

    def _replaced(self, event: Event) -> Iterator[str]:
        self._open[event["order_id"]].lots = event["quantity"]
        yield from ()

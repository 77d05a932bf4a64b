"""The reference exchange: a slow and simple implementation that tests compare the fast engine with.

It takes commands and returns their events. Internally all amounts are whole ticks, lots and smallest units, as Python
ints, which never overflow. Commands and events have plain decimals. Refusals in the engine are reason codes; a broken
invariant is an assertion error.
"""

from collections.abc import Callable
from typing import Any

from tests.reference import invariants, summary, transfers
from tests.reference.commands import (
    AddAsset,
    AddInstrument,
    Cancel,
    CancelAll,
    Command,
    Deposit,
    PlaceOco,
    PlaceOrder,
    Replace,
    SetAccountFees,
    SetAccountStatus,
    SetStatus,
    UpdateInstrument,
    Withdraw,
)
from tests.reference.definitions import Definitions
from tests.reference.edge import Edge, Refused, command_name, parse_line
from tests.reference.forms import Event
from tests.reference.limits import Limits
from tests.reference.matching import Matching
from tests.reference.open_orders import OpenOrders
from tests.reference.orders import Order
from tests.reference.placing import Placing
from tests.reference.state import State
from tests.reference.triggers import Triggers

DEFAULT_LIMITS = Limits()


class ReferenceExchange:
    """`client` tells whose commands follow each other, for `requires_previous`; a run of lines has one client."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.edge = Edge()
        self.state = State(limits)
        orders = OpenOrders(self.state)
        matching = Matching(self.state, orders)
        self.definitions = Definitions(self.state, self.edge)
        self.placing = Placing(self.state, orders, matching)
        self.triggers = Triggers(self.state, orders, matching)
        self.last_was_accepted: dict[int, bool] = {}  # by client

    # Commands in, events out

    def submit_line(self, text: str, line: int) -> list[Event]:
        """Applies one line of JSON; `line` is its number, returned if the edge refuses it. Blank lines are ignored."""
        if not text.strip(" \t\r\n\v\f"):
            return []
        events = self.submit(parse_line(text))
        for event in events:
            if event["sequence"] is None:
                event["line"] = line
        return events

    def submit(self, value: object, client: int = 0) -> list[Event]:
        """Applies one parsed JSON value (malformed unless an object). The caller sets `line` of a refusal."""
        name = command_name(value)
        try:
            command = self.edge.read(value)
        except Refused as refused:
            self.last_was_accepted[client] = False
            return [{"event": "rejected", "sequence": None, "line": None, "command": name, "reason": refused.reason}]
        self._begin_command()
        reason = self._apply(command, client)
        if reason is not None:
            self.state.journal.emit("rejected", command=name, reason=reason)
        self.last_was_accepted[client] = reason is None
        self.triggers.enqueue_triggered()
        self.triggers.run_queue()
        return self.state.journal.events

    def _begin_command(self) -> None:
        """Triggered orders that the command before has left in the queue go first, and belong to this one."""
        self.state.journal.begin_command()
        for market in self.state.markets.values():
            market.price_before = market.last_price
        self.triggers.run_queue()

    def _apply(self, command: Command, client: int) -> str | None:
        """The reject reason, None if the command was carried out."""
        requires_previous = isinstance(command, PlaceOrder | PlaceOco) and command.requires_previous
        if requires_previous and not self.last_was_accepted.get(client, False):
            is_oco = isinstance(command, PlaceOco)
            return self.placing.refuse_oco("previous_refused") if is_oco else "previous_refused"
        handlers: dict[type, Callable[[Any], str | None]] = {
            AddAsset: self.definitions.add_asset,
            AddInstrument: self.definitions.add_instrument,
            SetStatus: self.definitions.set_status,
            UpdateInstrument: self.definitions.update_instrument,
            SetAccountStatus: self.definitions.set_account_status,
            SetAccountFees: self.definitions.set_account_fees,
            Deposit: lambda command: transfers.deposit(self.state, command),
            Withdraw: lambda command: transfers.withdraw(self.state, command),
            PlaceOrder: self.placing.place_order,
            PlaceOco: self.placing.place_oco,
            Cancel: self.placing.cancel,
            CancelAll: self.placing.cancel_all,
            Replace: self.placing.replace,
        }
        return handlers[type(command)](command)

    # The state

    @property
    def command_count(self) -> int:
        """Commands that took a sequence; an oco counts as two."""
        return self.state.journal.command_count

    @property
    def trade_count(self) -> int:
        return self.state.trade_count

    @property
    def open(self) -> dict[int, Order]:
        """Open orders by order_id: those in the books, and those that wait for their trigger."""
        return self.state.open

    @property
    def status(self) -> dict[str, str]:
        """Status of each instrument by symbol."""
        return {symbol: market.status for symbol, market in self.state.markets.items()}

    @property
    def ledger(self) -> list[Event]:
        """All ledger entries in order (the list itself; callers must not change it)."""
        return self.state.funds.entries

    def balances(self) -> list[Event]:
        return summary.balances(self.state, self.edge.assets)

    def open_orders(self) -> list[Event]:
        return summary.open_orders(self.state)

    def pending_orders(self) -> list[Event]:
        return summary.pending_orders(self.state)

    def rows(self) -> Event:
        """What `state_digest` is computed from: balances, open orders, and waiting ones where there are any."""
        return summary.rows(self.state, self.edge.assets)

    def summary(self) -> Event:
        """Without `block` and `state_hash`, which belong to blocks."""
        return summary.summary(self.state, self.edge.assets)

    def state_digest(self) -> str:
        return summary.state_digest(self.state, self.edge.assets)

    def check_invariants(self) -> None:
        """Checks what holds between commands."""
        invariants.check(self.state)

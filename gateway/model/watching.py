"""What each command changed for the accounts that somebody watches, with each order just after each event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from gateway.model.order_log import OrderLog
from gateway.model.records import AccountCommand, Balance, Fill, OrderChange, Transfer
from gateway.model.replica import Replica
from ledger.api import legs_of
from matching.core.blocks import Block
from matching.core.codes import CommandKind, EventKind
from matching.core.reading.event_rows import EventRow
from matching.core.registry import Asset

OnCommand = Callable[[AccountCommand], None]

_TRADE = int(EventKind.TRADE)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_WITHDRAWN = int(EventKind.WITHDRAWN)
_TRANSFERS = frozenset((int(EventKind.DEPOSITED), _WITHDRAWN))
_CANCEL = int(CommandKind.CANCEL)


@dataclass(slots=True)
class _Changes:
    """Those of one command and account. `deltas`: id of an asset → change of (available, locked)."""

    last_sequence: int = 0
    made: list[OrderChange | Transfer] = field(default_factory=list)
    deltas: dict[int, tuple[int, int]] = field(default_factory=dict)


class Watchers:
    """The functions to call, by account."""

    def __init__(self) -> None:
        self._of: dict[int, list[OnCommand]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __contains__(self, account: int) -> bool:
        return account in self._of

    def accounts(self) -> list[int]:
        return list(self._of)

    def add(self, account: int, on_command: OnCommand) -> Callable[[], None]:
        """Returns the function that ends it; calling that again does nothing."""
        self._of.setdefault(account, []).append(on_command)

        def end() -> None:
            listed = self._of.get(account, [])
            if on_command in listed:
                listed.remove(on_command)
            if not listed:
                self._of.pop(account, None)

        return end

    def call(self, account: int, command: AccountCommand) -> None:
        for on_command in tuple(self._of.get(account, ())):
            on_command(command)


class WatchedBlock:
    """Collects the changes of one block for watched accounts."""

    def __init__(self, watchers: Watchers, orders: OrderLog, replica: Replica, time_ns: int) -> None:
        self._watchers = watchers
        self._orders = orders
        self._replica = replica
        self._time_ns = time_ns
        self._found: dict[tuple[int, int], _Changes] = {}  # by command and account

    def note(self, event: EventRow, fills: tuple[Fill, ...]) -> None:
        """Records an event after it was applied. `fills`: of a trade, the taker's and the maker's."""
        if event.kind in _TRANSFERS:
            self._note_transfer(event)
        elif event.kind == _TRADE:
            for fill in fills:
                self._note_order(event, fill.account, fill.order_id, fill)
        elif event.order_id:
            self._note_order(event, event.account, event.order_id, None)

    def note_balances(self, block: Block, events: Sequence[EventRow]) -> None:
        """Records the changes of balances; `events` are those of the block."""
        legs = legs_of(block.events.copy(), np.zeros(len(events), np.int64), self._replica.registry)
        is_watched = np.isin(legs.account, self._watchers.accounts())
        columns = (legs.event, legs.account, legs.asset, legs.delta_available, legs.delta_locked)
        for place, account, asset, available, locked in zip(*(c[is_watched].tolist() for c in columns), strict=True):
            deltas = self._changes(events[place], account).deltas
            before = deltas.get(asset, (0, 0))
            deltas[asset] = (before[0] + available, before[1] + locked)

    def _changes(self, event: EventRow, account: int) -> _Changes:
        changes = self._found.setdefault((event.command_sequence, account), _Changes())
        changes.last_sequence = max(changes.last_sequence, event.sequence)
        return changes

    def _note_order(self, event: EventRow, account: int, order_id: int, fill: Fill | None) -> None:
        entry = self._orders.entry(order_id) if account in self._watchers else None
        if entry is None:
            return
        name = earlier_name = ""
        if event.kind == _REPLACED and entry.amendments:
            earlier_name = entry.amendments[-1].old_name
        elif event.kind == _CANCELLED and (command := self._orders.command(event))[0] == _CANCEL:
            name = self._orders.strings(command)[1]
        self._changes(event, account).made.append(OrderChange(event, entry.order(), fill, name, earlier_name))

    def _note_transfer(self, event: EventRow) -> None:
        if event.account in self._watchers:
            asset = self._replica.registry.assets[event.instrument]
            amount = -event.amount if event.kind == _WITHDRAWN else event.amount
            self._changes(event, event.account).made.append(Transfer(event, asset, amount))

    def tell(self) -> None:
        """Calls the watchers, in order of the commands. Call it after the block was applied."""
        after = self._balances_before()
        for (sequence, account), changes in sorted(self._found.items(), key=itemgetter(0)):
            balances = []
            for asset, (available, locked) in changes.deltas.items():
                before = after[account, asset]
                after[account, asset] = (before[0] + available, before[1] + locked)
                balances.append(Balance(self._asset(asset), *after[account, asset]))
            command = AccountCommand(sequence, self._time_ns, changes.last_sequence, changes.made, balances)
            self._watchers.call(account, command)

    def _balances_before(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Those before the block, by account and asset: what they are now without the block's changes."""
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for (_, account), changes in self._found.items():
            for asset, (available, locked) in changes.deltas.items():
                key = (account, asset)
                if key not in found:
                    now = self._replica.balance(account, asset)
                    found[key] = (now.available, now.locked) if now else (0, 0)
                found[key] = (found[key][0] - available, found[key][1] - locked)
        return found

    def _asset(self, asset: int) -> Asset:
        return self._replica.registry.assets[asset]

"""The state as the summary tells it, docs/semantics.md, section 7."""

import json

import xxhash

from tests.reference import forms
from tests.reference.commands import Asset
from tests.reference.forms import Event
from tests.reference.state import State


def balances(state: State, assets: dict[str, Asset]) -> list[Event]:
    return [
        forms.balance_row(account, assets[asset], balance)
        for (account, asset), balance in sorted(state.funds.balances.items(), key=lambda item: item[0])
        if balance.available or balance.locked
    ]


def open_orders(state: State) -> list[Event]:
    """The orders in the books."""
    return [
        forms.order_row(order)
        for symbol in sorted(state.markets)
        for side in ("buy", "sell")
        for order in state.markets[symbol].book.orders(side)
    ]


def pending_orders(state: State) -> list[Event]:
    """The orders that wait for their trigger."""
    return [forms.pending_row(order) for _, order in sorted(state.open.items()) if order.is_waiting]


def rows(state: State, assets: dict[str, Asset]) -> Event:
    """What `state_digest` is computed from; `pending_orders` only where there are any."""
    found: Event = {"balances": balances(state, assets), "open_orders": open_orders(state)}
    pending = pending_orders(state)
    return {**found, "pending_orders": pending} if pending else found


def state_digest(state: State, assets: dict[str, Asset]) -> str:
    text = json.dumps(rows(state, assets), separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(text.encode())


def summary(state: State, assets: dict[str, Asset]) -> Event:
    """Without `block` and `state_hash`, which belong to blocks."""
    return {
        "summary": True,
        "commands": state.journal.command_count,
        "events": state.journal.event_count,
        "trades": state.trade_count,
        "state_digest": state_digest(state, assets),
        **rows(state, assets),
    }

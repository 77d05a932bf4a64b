"""Prefetching, which begins with many open orders, changes no event, whatever the commands name."""

from typing import Any

import pytest
from numba import config

from matching.core.kernel.structures import prefetch
from tests.matching.core.test_limits import USUAL, same_as_reference

NOWHERE = 2**40
"""An order id after those of every page that the engine knows."""


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> int:
    """A number of open orders with which the kernel prefetches; smaller when interpreted, which is slow."""
    if config.DISABLE_JIT:
        monkeypatch.setattr(prefetch, "MIN_OPEN_ORDERS", 50)
    return prefetch.MIN_OPEN_ORDERS + 100


def test_a_large_book_gives_the_events_of_the_reference(resting: int) -> None:
    account = {"account": 1, "symbol": "B-Q"}
    order = {"command": "order", **account, "side": "sell", "order_type": "limit", "quantity": "2"}
    commands: list[dict[str, Any]] = [
        *({"command": "asset", "symbol": symbol, "decimals": 0} for symbol in ("B", "Q")),
        {"command": "instrument", **USUAL, "symbol": "B-Q", "base": "B", "quote": "Q"},
        {"command": "deposit", "account": 1, "asset": "B", "amount": "1000000", "reference": "b"},
        {"command": "deposit", "account": 2, "asset": "Q", "amount": "1000000", "reference": "q"},
    ]
    first = len(commands) + 1
    for at in range(resting):
        commands.append({**order, "price": str(10 + at * 7919 % 300), "client_order_id": f"c{at}"})
    for at in range(0, 90, 3):
        commands += [
            {"command": "cancel", **account, "order_id": first + at},
            {"command": "cancel", **account, "order_id": NOWHERE + at},
            {"command": "cancel", **account, "client_order_id": f"c{at + 1}"},
            {"command": "replace", **account, "order_id": first + at + 2, "price": "9", "quantity": "1"},
            {**order, "price": str(2**40 + 64 * at)},
            {**order, "price": "400", "client_order_id": f"again{at}"},
            {**order, "account": 2, "side": "buy", "price": "9", "quantity": "1"},
            {"command": "deposit", "account": 3 + at, "asset": "Q", "amount": "1", "reference": "new"},
        ]
    events = same_as_reference(commands, block_size=64)
    for event, count in {"trade": 30, "order_cancelled": 60, "rejected": 30}.items():
        assert [found["event"] for found in events].count(event) == count


@pytest.mark.parametrize("block_size", [1, 7, 64])
def test_what_was_noted_of_commands_ahead_may_have_changed_since(resting: int, block_size: int) -> None:
    """Slots of orders are used again, and accounts place their first order, between a note and its command."""
    order = {"command": "order", "symbol": "B-Q", "side": "sell", "order_type": "limit", "quantity": "2"}
    commands: list[dict[str, Any]] = [
        *({"command": "asset", "symbol": symbol, "decimals": 0} for symbol in ("B", "Q")),
        {"command": "instrument", **USUAL, "symbol": "B-Q", "base": "B", "quote": "Q"},
        {"command": "deposit", "account": 1, "asset": "B", "amount": "1000000", "reference": "b"},
    ]
    first = len(commands) + 1
    commands += [{**order, "account": 1, "price": str(10 + at % 300)} for at in range(resting)]
    for at in range(0, 60, 2):
        old, account = first + at, 100 + at
        cancel_old = {"command": "cancel", "account": 1, "symbol": "B-Q", "order_id": old}
        commands += [
            {"command": "deposit", "account": account, "asset": "B", "amount": "10", "reference": "new"},
            cancel_old,
            {**order, "account": account, "price": "400", "client_order_id": "its first"},
            cancel_old,  # the slot holds the order above
            {**order, "account": account, "price": "401"},
            {"command": "cancel", "account": account, "symbol": "B-Q", "order_id": len(commands) + 3},
            {"command": "cancel", "account": account, "symbol": "B-Q", "order_id": len(commands) + 3},
        ]
    events = same_as_reference(commands, block_size=block_size)
    kinds = [found["event"] for found in events]
    assert kinds.count("order_cancelled") == 60
    assert kinds.count("rejected") == 60

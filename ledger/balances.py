"""Balances as the sum of ledger legs."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ledger.compiling import compiled
from ledger.legs import LEG_KINDS, Integers, Legs
from matching.core.registry import Registry

FUNDS = np.dtype([("available", "<i8"), ("locked", "<i8")])
"""An account's balance of one asset, in the asset's smallest unit."""


class Overdrawn(Exception):
    """A leg would make a balance negative: the balance given is not the one from before the leg's event."""

    def __init__(self, event: int, message: str) -> None:
        """`event`: index of the event, as in `Legs.event`."""
        super().__init__(message)
        self.event = event


class FundsAfter(NamedTuple):
    """The balance after each leg; int64 arrays."""

    available: Integers
    locked: Integers


def apply_legs(legs: Legs, balance_of: Integers, funds: Any, registry: Registry) -> FundsAfter:
    """Applies legs to `funds` in order. `balance_of` has the index in `funds` of the balance that each leg changes.

    Raises Overdrawn; the legs before the faulty one have been applied by then.
    """
    after = FundsAfter(np.empty(len(legs.event), np.int64), np.empty(len(legs.event), np.int64))
    faulty = _apply(balance_of, legs.delta_available, legs.delta_locked, funds, after.available, after.locked)
    if faulty >= 0:
        left = funds[balance_of[faulty]]
        kind = LEG_KINDS[legs.kind[faulty]]
        raise Overdrawn(
            int(legs.event[faulty]),
            f"A {kind} of ({legs.delta_available[faulty]}, {legs.delta_locked[faulty]}) leaves account "
            f"{legs.account[faulty]} with {left['available']} {registry.assets[legs.asset[faulty]].symbol} available "
            f"and {left['locked']} locked.",
        )
    return after


@compiled(Path(__file__))
def _apply(
    balance_of: Integers,
    delta_available: Integers,
    delta_locked: Integers,
    funds: Any,
    available_after: Integers,
    locked_after: Integers,
) -> int:
    """Returns the index of the first leg that leaves a negative balance, or -1."""
    for place in range(len(balance_of)):
        one = funds[balance_of[place]]
        available = one["available"] + delta_available[place]
        locked = one["locked"] + delta_locked[place]
        one["available"] = available
        one["locked"] = locked
        available_after[place] = available
        locked_after[place] = locked
        if available < 0 or locked < 0:
            return place
    return -1

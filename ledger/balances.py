"""Balances as the sum of ledger legs."""

from collections.abc import Iterable, MutableMapping

from ledger.entries import Leg

Key = tuple[int, str]
"""(account, asset symbol)"""


class Overdrawn(Exception):
    """A leg takes more than its balance has: the balance it was folded into is not the one before its event."""


Funds = tuple[int, int]
"""(available, locked): what an account has of an asset, in its smallest unit.

A plain tuple: one is made for every leg, and a named one takes three times as long to make.
"""

NOTHING: Funds = (0, 0)


def fold(legs: Iterable[Leg], balances: MutableMapping[Key, Funds]) -> list[Funds]:
    """Applies legs, in order, to `balances`; returns what each left behind. A key that is missing stands for nothing.

    Raises Overdrawn, with the legs before it applied.
    """
    after = []
    for account, asset, kind, delta_available, delta_locked in legs:
        available, locked = balances.get((account, asset), NOTHING)
        available += delta_available
        locked += delta_locked
        if available < 0 or locked < 0:
            raise Overdrawn(
                f"A {kind} of ({delta_available}, {delta_locked}) leaves account {account} with {available} {asset} "
                f"available and {locked} locked."
            )
        funds = balances[account, asset] = (available, locked)
        after.append(funds)
    return after

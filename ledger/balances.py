"""Balances as the sum of ledger legs."""

from collections.abc import Iterable, MutableMapping

from ledger.entries import Leg

BalanceKey = tuple[int, str]
"""(account, asset symbol)"""


class Overdrawn(Exception):
    """A leg would make a balance negative: the balance given is not the one from before the leg's event."""


Funds = tuple[int, int]
"""(available, locked): an account's balance of one asset, in the asset's smallest unit.

A plain tuple, because one is created per leg and a named tuple takes three times as long to create.
"""

ZERO_FUNDS: Funds = (0, 0)


def apply_legs(legs: Iterable[Leg], balances: MutableMapping[BalanceKey, Funds]) -> list[Funds]:
    """Applies legs to `balances` in order; returns the balance after each leg. A missing key is a zero balance.

    Raises Overdrawn; the legs before the faulty one have been applied by then.
    """
    after = []
    for account, asset, kind, delta_available, delta_locked in legs:
        available, locked = balances.get((account, asset), ZERO_FUNDS)
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

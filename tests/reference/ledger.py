"""Balances, and a ledger entry for each change of a balance."""

from dataclasses import dataclass
from typing import Any

HOUSE = 0
SUPPLY_LIMIT = 2**62


@dataclass
class Balance:
    available: int = 0
    locked: int = 0


class Ledger:
    """All amounts are in smallest units of the asset.

    An entry names the event that caused it and its number (leg 0, 1, 2, …) among the entries of that event. A change of
    zero makes no entry.
    """

    def __init__(self) -> None:
        self.balances: dict[tuple[int, str], Balance] = {}
        self.supply: dict[str, int] = {}
        self.entries: list[dict[str, Any]] = []

    def available(self, account: int, asset: str) -> int:
        balance = self.balances.get((account, asset))
        return 0 if balance is None else balance.available

    def deposit(self, sequence: int, account: int, asset: str, amount: int) -> None:
        self.supply[asset] = self.supply.get(asset, 0) + amount
        self.post(sequence, account, asset, "deposit", available=amount)

    def withdraw(self, sequence: int, account: int, asset: str, amount: int) -> None:
        self.supply[asset] -= amount
        self.post(sequence, account, asset, "withdrawal", available=-amount)

    def lock(self, sequence: int, account: int, asset: str, amount: int) -> None:
        """Locks `amount`; a negative amount is unlocked."""
        self.post(sequence, account, asset, "lock" if amount > 0 else "unlock", available=-amount, locked=amount)

    def post(self, sequence: int, account: int, asset: str, kind: str, *, available: int = 0, locked: int = 0) -> None:
        if available == 0 and locked == 0:
            return
        balance = self.balances.setdefault((account, asset), Balance())
        balance.available += available
        balance.locked += locked
        last = self.entries[-1] if self.entries else None
        follows = last is not None and last["event_sequence"] == sequence
        self.entries.append(
            {
                "event_sequence": sequence,
                "leg": last["leg"] + 1 if last is not None and follows else 0,
                "account": account,
                "asset": asset,
                "kind": kind,
                "delta_available": available,
                "delta_locked": locked,
                "available_after": balance.available,
                "locked_after": balance.locked,
            }
        )

    def check_invariants(self, held: dict[tuple[int, str], int]) -> None:
        """`held`: amounts locked by open orders for each (account, asset), without zeros."""
        totals: dict[str, int] = {}
        for (account, asset), balance in self.balances.items():
            assert min(balance.available, balance.locked) >= 0, (account, asset, balance)
            assert balance.locked == held.get((account, asset), 0), (account, asset, balance)
            totals[asset] = totals.get(asset, 0) + balance.available + balance.locked
        assert totals == self.supply, (totals, self.supply)
        assert all(0 <= supply <= SUPPLY_LIMIT for supply in self.supply.values()), self.supply
        assert held.keys() <= self.balances.keys(), held

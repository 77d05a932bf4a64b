"""The ledger's public interface: other packages import from here."""

from ledger.balances import ZERO_FUNDS, BalanceKey, Funds, Overdrawn, apply_legs
from ledger.entries import MAX_LEGS, EventRow, Leg, LegKind, event_rows, legs

__all__ = [
    "MAX_LEGS",
    "ZERO_FUNDS",
    "BalanceKey",
    "EventRow",
    "Funds",
    "Leg",
    "LegKind",
    "Overdrawn",
    "apply_legs",
    "event_rows",
    "legs",
]

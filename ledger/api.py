"""The ledger's public interface: other packages import from here."""

from ledger.balances import NOTHING, Funds, Key, Overdrawn, fold
from ledger.entries import MOST_LEGS, EventRow, Leg, LegKind, event_rows, legs

__all__ = [
    "MOST_LEGS",
    "NOTHING",
    "EventRow",
    "Funds",
    "Key",
    "Leg",
    "LegKind",
    "Overdrawn",
    "event_rows",
    "fold",
    "legs",
]

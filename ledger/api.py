"""What the rooms above may use of the ledger."""

from ledger.balances import NOTHING, Funds, Key, Overdrawn, fold
from ledger.entries import FIELDS, MOST_LEGS, EventRow, Leg, LegKind, legs

__all__ = [
    "FIELDS",
    "MOST_LEGS",
    "NOTHING",
    "EventRow",
    "Funds",
    "Key",
    "Leg",
    "LegKind",
    "Overdrawn",
    "fold",
    "legs",
]

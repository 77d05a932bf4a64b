"""The ledger's public interface: other packages import from here."""

from ledger.balances import FUNDS, FundsAfter, Overdrawn, apply_legs
from ledger.compiling import compiled, inlined
from ledger.legs import LEG_KINDS, MAX_LEGS, LegKind, Legs, UnknownInstrument, legs_of

__all__ = [
    "FUNDS",
    "LEG_KINDS",
    "MAX_LEGS",
    "FundsAfter",
    "LegKind",
    "Legs",
    "Overdrawn",
    "UnknownInstrument",
    "apply_legs",
    "compiled",
    "inlined",
    "legs_of",
]

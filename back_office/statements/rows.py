"""Rows of balance and ledger tables."""

from dataclasses import dataclass

from back_office.formats import Figure, ReferenceData, utc_time
from settlement.stores.base import Balance, LedgerEvent

KIND_TEXTS = {
    "deposit": "deposit",
    "withdrawal": "withdrawal",
    "lock": "locked for an order",
    "unlock": "unlocked",
    "trade_debit": "paid in a trade",
    "trade_credit": "received in a trade",
    "release": "released: traded at a better price",
    "fee": "fee",
}
"""Explanation of each kind of ledger entry, shown as a tooltip."""


@dataclass(frozen=True, slots=True)
class BalanceRow:
    account: int
    asset: str
    available: Figure
    locked: Figure
    total: Figure
    sequence: int

    @classmethod
    def of(cls, balance: Balance, reference: ReferenceData) -> "BalanceRow":
        return cls(
            account=balance.account,
            asset=balance.asset,
            available=reference.amount(balance.asset, balance.available),
            locked=reference.amount(balance.asset, balance.locked),
            total=reference.amount(balance.asset, balance.available + balance.locked),
            sequence=balance.sequence,
        )


@dataclass(frozen=True, slots=True)
class EntryRow:
    sequence: int
    leg: int
    block: int
    time: str
    account: int
    asset: str
    kind: str
    meaning: str
    delta_available: Figure
    delta_locked: Figure
    available_after: Figure
    locked_after: Figure
    reference: str  # of a deposit or withdrawal; "" for others, and if it is not known

    @property
    def is_trade(self) -> bool:
        """Whether the event is a trade: then its sequence is the trade's id. Fees are only charged on trades."""
        return self.kind in ("trade_debit", "trade_credit", "release", "fee")

    @classmethod
    def of(cls, entry: LedgerEvent, reference: ReferenceData, transfer: str = "") -> "EntryRow":
        """`transfer`: the reference of a deposit or withdrawal."""
        return cls(
            sequence=entry.event_sequence,
            leg=entry.leg,
            block=entry.block_number,
            time=utc_time(entry.timestamp_ns),
            account=entry.account,
            asset=entry.asset,
            kind=entry.kind,
            meaning=KIND_TEXTS.get(entry.kind, entry.kind),
            delta_available=reference.amount(entry.asset, entry.delta_available, signed=True),
            delta_locked=reference.amount(entry.asset, entry.delta_locked, signed=True),
            available_after=reference.amount(entry.asset, entry.available_after),
            locked_after=reference.amount(entry.asset, entry.locked_after),
            reference=transfer,
        )

"""The ledger entries of an account that a filter finds, and the balances before the first and after the last one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from back_office import filters
from back_office.csv_files import PIECE_ROWS
from back_office.filters import BadFilter, Query
from back_office.formats import Figure, ReferenceData
from back_office.statements.period import Days, Events
from settlement.stores.base import LedgerEvent, Store

Key = tuple[int, int]
"""Event sequence and leg of an entry."""


@dataclass(frozen=True, slots=True)
class StatementFilter:
    account: int
    asset: str | None
    days: Days | None
    before: Key | None

    @classmethod
    def read(cls, account: int, query: Query, reference: ReferenceData) -> "StatementFilter":
        """Raises BadFilter."""
        asset = filters.symbol(query, "asset", "Asset")
        if asset is not None and reference.asset(asset) is None:
            raise BadFilter(f"There is no asset {asset}.")
        return cls(account, asset, Days.read(query), filters.entry_key(query, "before", "Before"))


@dataclass(frozen=True, slots=True)
class AssetBalance:
    """Smallest units of the asset."""

    asset: str
    available: int = 0
    locked: int = 0

    @property
    def total(self) -> int:
        return self.available + self.locked


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """One asset at the beginning and at the end of a period, for a page."""

    asset: str
    opening_available: Figure
    opening_locked: Figure
    opening_total: Figure
    change: Figure
    closing_available: Figure
    closing_locked: Figure
    closing_total: Figure

    @classmethod
    def of(cls, opening: AssetBalance, closing: AssetBalance, reference: ReferenceData) -> "PeriodRow":
        asset = opening.asset
        return cls(
            asset=asset,
            opening_available=reference.amount(asset, opening.available),
            opening_locked=reference.amount(asset, opening.locked),
            opening_total=reference.amount(asset, opening.total),
            change=reference.amount(asset, closing.total - opening.total, signed=True),
            closing_available=reference.amount(asset, closing.available),
            closing_locked=reference.amount(asset, closing.locked),
            closing_total=reference.amount(asset, closing.total),
        )


class Statement:
    """What a filter finds. Its bounds are read once, so entries and balances agree while settlement goes on."""

    def __init__(self, store: Store, wanted: StatementFilter) -> None:
        self._store = store
        self._wanted = wanted

    @cached_property
    def events(self) -> Events | None:
        """None: of no period."""
        return self._wanted.days.events(self._store) if self._wanted.days else None

    def newest(self, limit: int, before: Key | None) -> list[LedgerEvent]:
        """The newest entries of the filter that are before this key, newest first."""
        if self.events is not None:
            end = self.events.end, 0
            before = min(before, end) if before else end
        account, asset = self._wanted.account, self._wanted.asset
        found = self._store.get_ledger_events_by_account(account, limit, asset=asset, before=before)
        return [entry for entry in found if self.events is None or entry.event_sequence >= self.events.first]

    def all(self) -> Iterator[LedgerEvent]:
        """From the filter's `before` on, newest first."""
        before = self._wanted.before
        while found := self.newest(PIECE_ROWS, before):
            yield from found
            before = found[-1].event_sequence, found[-1].leg

    def openings(self) -> list[AssetBalance]:
        """Of each asset of the filter; none without a period."""
        return self._balances(self.events.first) if self.events else []

    def closings(self) -> list[AssetBalance]:
        """As `openings`, with the same assets in the same order."""
        return self._balances(self.events.end) if self.events else []

    def _balances(self, event: int) -> list[AssetBalance]:
        account, asset = self._wanted.account, self._wanted.asset
        entries = self._store.newest_ledger_events(account, event, asset=asset)
        known = {one.asset: AssetBalance(one.asset, one.available_after, one.locked_after) for one in entries}
        return [known.get(name, AssetBalance(name)) for name in self._assets]

    @cached_property
    def _assets(self) -> list[str]:
        if self._wanted.asset is not None:
            return [self._wanted.asset]
        return [balance.asset for balance in self._store.balances_of(self._wanted.account)]

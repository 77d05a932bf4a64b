"""Ledger entries and balances of a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ledger.api import FUNDS, LEG_KINDS, Legs, Overdrawn, UnknownInstrument, apply_legs, legs_of
from matching.core.registry import Registry
from settlement.errors import StoreDamaged
from settlement.project.columns.records import BatchRecords
from settlement.project.columns.state_cache import numbered
from settlement.stores.base import Balance, LedgerEvent
from settlement.stores.base.columns import ColumnTable, Integers, Numbers, Words

BALANCE_STATE = np.dtype([("account", "<i8"), ("asset", "<i8"), ("sequence", "<i8"), *FUNDS.descr])
"""A `settlement.stores.base.Balance`; `asset` is its number."""

BalanceKey = tuple[int, str]
"""(account, asset symbol)"""


class ChangedBalances:
    """The balances that a batch changes, numbered in the order in which they appear."""

    def __init__(self, batch: BatchRecords, registry: Registry) -> None:
        """Raises StoreDamaged."""
        self._batch = batch
        self._registry = registry
        try:
            self._legs: Legs = legs_of(batch.events, batch.unlocked, registry)
        except UnknownInstrument as error:
            raise StoreDamaged(f"The definitions do not fit the blocks: {error}") from error
        self._of_leg, places = numbered(self._legs.account, self._legs.asset)
        self.accounts: Integers = self._legs.account[places]
        self.assets: Integers = self._legs.asset[places]

    def keys(self, places: Any) -> list[BalanceKey]:
        """The keys of the balances in these places."""
        accounts, assets = self.accounts[places].tolist(), self.assets[places].tolist()
        return [(account, self._registry.assets[asset].symbol) for account, asset in zip(accounts, assets, strict=True)]

    def fold(self, states: Any) -> ColumnTable[LedgerEvent]:
        """Applies the legs to `states`, BALANCE_STATE of each balance, zeros for a new one. Raises StoreDamaged."""
        legs, batch = self._legs, self._batch
        states["account"], states["asset"] = self.accounts, self.assets
        sequences = np.ascontiguousarray(batch.events["sequence"])[legs.event]
        funds = np.empty(len(states), FUNDS)
        funds["available"], funds["locked"] = states["available"], states["locked"]
        try:
            after = apply_legs(legs, self._of_leg, funds, self._registry)
        except Overdrawn as error:
            sequence = batch.events["sequence"][error.event]
            raise StoreDamaged(f"Event {sequence} does not fit the stored balances: {error}") from error
        states["available"], states["locked"] = funds["available"], funds["locked"]
        states["sequence"][self._of_leg] = sequences  # of several legs of a balance, the last one counts
        return ColumnTable(
            LedgerEvent,
            event_sequence=Numbers(sequences),
            leg=Numbers(legs.leg),
            block_number=Numbers(batch.numbers(legs.event)),
            timestamp_ns=Numbers(batch.times_ns(legs.event)),
            account=Numbers(legs.account),
            asset=Words(legs.asset, _symbols(self._registry)),
            kind=Words(legs.kind, LEG_KINDS),
            delta_available=Numbers(legs.delta_available),
            delta_locked=Numbers(legs.delta_locked),
            available_after=Numbers(after.available),
            locked_after=Numbers(after.locked),
        )


def table_of(states: Any, registry: Registry) -> ColumnTable[Balance]:
    """The rows of BALANCE_STATE records."""
    numbers = {field: Numbers(np.ascontiguousarray(states[field])) for field in Balance._fields if field != "asset"}
    asset = Words(np.ascontiguousarray(states["asset"]), _symbols(registry))
    return ColumnTable(
        Balance,
        account=numbers["account"],
        asset=asset,
        available=numbers["available"],
        locked=numbers["locked"],
        sequence=numbers["sequence"],
    )


def states_of(balances: Sequence[Balance], registry: Registry) -> npt.NDArray[np.void]:
    """BALANCE_STATE of rows that a store has, of assets in the registry."""
    rows = [
        (row.account, registry.asset_by_symbol[row.asset].id, row.sequence, row.available, row.locked)
        for row in balances
    ]
    return np.array(rows, BALANCE_STATE)


def _symbols(registry: Registry) -> list[str]:
    return [asset.symbol for asset in registry.assets]

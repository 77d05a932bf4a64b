"""Commands of operators: assets, instruments, and what is set for accounts. Each returns the reject reason or None."""

from dataclasses import asdict

from tests.reference.commands import (
    AddAsset,
    AddInstrument,
    SetAccountFees,
    SetAccountStatus,
    SetStatus,
    UpdateInstrument,
)
from tests.reference.edge import Edge
from tests.reference.state import Market, State


class Definitions:
    """Tells the edge which assets and instruments there are."""

    def __init__(self, state: State, edge: Edge) -> None:
        self.state = state
        self.edge = edge

    def add_asset(self, command: AddAsset) -> str | None:
        asset = command.asset
        if asset.symbol in self.edge.assets:
            return "already_exists"
        self.edge.assets[asset.symbol] = asset
        self.state.journal.emit("asset_added", **asdict(asset))
        return None

    def add_instrument(self, command: AddInstrument) -> str | None:
        symbol = command.instrument.symbol
        if symbol in self.edge.instruments:
            return "already_exists"
        self.edge.instruments[symbol] = command.instrument
        self.state.markets[symbol] = Market(command.instrument)
        self.state.journal.emit("instrument_added", symbol=symbol)
        return None

    def set_status(self, command: SetStatus) -> str | None:
        self.state.markets[command.symbol].status = command.status
        self.state.journal.emit("instrument_status_changed", symbol=command.symbol, status=command.status)
        return None

    def update_instrument(self, command: UpdateInstrument) -> str | None:
        instrument = self.edge.instruments[command.symbol]
        lowest = command.changes.get("min_quantity", instrument.min_quantity)
        if lowest > command.changes.get("max_quantity", instrument.max_quantity):
            return "invalid_quantity"
        for name, value in command.changes.items():
            setattr(instrument, name, value)
        self.state.journal.emit("instrument_updated", symbol=command.symbol)
        return None

    def set_account_status(self, command: SetAccountStatus) -> str | None:
        self.state.accounts.statuses[command.account] = command.status
        self.state.journal.emit("account_status_changed", account=command.account, status=command.status)
        return None

    def set_account_fees(self, command: SetAccountFees) -> str | None:
        self.state.accounts.set_rates(command.account, command.symbol, command.rates)
        maker_fee, taker_fee = command.rates or (None, None)
        self.state.journal.emit(
            "account_fees_changed",
            account=command.account,
            symbol=command.symbol,
            maker_fee=maker_fee,
            taker_fee=taker_fee,
        )
        return None

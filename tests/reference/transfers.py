"""Deposits and withdrawals. Each returns the reject reason or None."""

from tests.reference import forms
from tests.reference.commands import Deposit, Withdraw
from tests.reference.ledger import SUPPLY_LIMIT
from tests.reference.state import State


def deposit(state: State, command: Deposit) -> str | None:
    asset, reference = command.asset.symbol, ("deposit", command.account, command.reference)
    if command.amount <= 0:
        return "invalid_amount"
    if reference in state.references:
        return "duplicate_reference"
    if state.funds.supply.get(asset, 0) + command.amount > SUPPLY_LIMIT:
        return "supply_overflow"
    state.references.add(reference)
    sequence = state.journal.emit("deposited", **forms.transfer(command))
    state.funds.deposit(sequence, command.account, asset, command.amount)
    return None


def withdraw(state: State, command: Withdraw) -> str | None:
    asset, reference = command.asset.symbol, ("withdraw", command.account, command.reference)
    if state.accounts.status(command.account) == "frozen":
        return "account_restricted"
    if command.amount <= 0:
        return "invalid_amount"
    if reference in state.references:
        return "duplicate_reference"
    if command.amount > state.funds.available(command.account, asset):
        return "insufficient_balance"
    state.references.add(reference)
    sequence = state.journal.emit("withdrawn", **forms.transfer(command))
    state.funds.withdraw(sequence, command.account, asset, command.amount)
    return None

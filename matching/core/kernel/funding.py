"""Deposits and withdrawals. A reference is applied at most once for each account and kind of command."""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import events, funds
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import (
    ACCOUNT_RESTRICTED,
    DUPLICATE_REFERENCE,
    FROZEN,
    INSUFFICIENT_BALANCE,
    INVALID_AMOUNT,
    SUPPLY_OVERFLOW,
)
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import tables


@inlined
def deposit(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    asset, account, amount = np.int64(command["instrument"]), command["account"], command["amount"]
    if amount <= 0:
        return events.reject(pools, rows, count, command, INVALID_AMOUNT)
    if tables.find_reference(pools, account, np.int64(command["kind"]), command["text_hash"]) != 0:
        return events.reject(pools, rows, count, command, DUPLICATE_REFERENCE)
    if amount > AMOUNT_LIMIT - pools.supplies[asset]:
        return events.reject(pools, rows, count, command, SUPPLY_OVERFLOW)
    remember_reference(pools, command)
    pools.supplies[asset] += amount
    pools.balances[funds.get_or_create_balance(pools, account, asset)]["available"] += amount
    return events.write(pools, rows, count, events.DEPOSITED, 0, 0, 0, asset, 0, account, 0, 0, amount)


@inlined
def withdraw(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    asset, account, amount = np.int64(command["instrument"]), command["account"], command["amount"]
    if pools.accounts[tables.find_account(pools, account)]["status"] == FROZEN:
        return events.reject(pools, rows, count, command, ACCOUNT_RESTRICTED)
    if amount <= 0:
        return events.reject(pools, rows, count, command, INVALID_AMOUNT)
    if tables.find_reference(pools, account, np.int64(command["kind"]), command["text_hash"]) != 0:
        return events.reject(pools, rows, count, command, DUPLICATE_REFERENCE)
    index = tables.find_balance(pools, account, asset)
    if index == 0 or pools.balances[index]["available"] < amount:
        return events.reject(pools, rows, count, command, INSUFFICIENT_BALANCE)
    remember_reference(pools, command)
    pools.supplies[asset] -= amount
    pools.balances[index]["available"] -= amount
    return events.write(pools, rows, count, events.WITHDRAWN, 0, 0, 0, asset, 0, account, 0, 0, amount)


@inlined
def remember_reference(pools: Any, command: Any) -> None:
    """Notes the reference of a deposit or withdrawal that is carried out."""
    index = pools.state[p.REFERENCE_TOP]
    pools.state[p.REFERENCE_TOP] += 1
    reference = pools.references[index]
    reference["text_hash"] = command["text_hash"]
    reference["account"] = command["account"]
    reference["kind"] = command["kind"]
    key = tables.reference_key(command["account"], np.int64(command["kind"]), command["text_hash"])
    tables.insert(pools.reference_table, key, index)

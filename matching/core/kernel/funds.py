"""Balances, traders and fees. Amounts are int64 in the asset's smallest unit and at most AMOUNT_LIMIT = 2^62."""

from typing import Any

import numpy as np

from matching.core.codes import PPM
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import tables

_PPM = np.uint64(PPM)


@inlined
def fee(amount: Any, rate_ppm: Any) -> Any:
    """floor(amount × rate_ppm / 10^6), without a product above 2^62.

    With amount = a × 10^6 + b this is a × rate_ppm + floor(b × rate_ppm / 10^6).
    """
    millions = np.int64(np.uint64(amount) // _PPM)
    rest = amount - millions * PPM
    return millions * rate_ppm + np.int64(np.uint64(rest * rate_ppm) // _PPM)


@inlined
def product_exceeds(first: Any, second: Any, limit: Any) -> Any:
    """Whether first × second > limit, for positive numbers, without overflow."""
    if first < 2147483648 and second < 2147483648:
        return first * second > limit
    return first > limit // second


@inlined
def available(pools: Any, account: Any, asset: Any) -> Any:
    index = tables.find_balance(pools, account, asset)
    if index == 0:
        return np.int64(0)
    return pools.balances[index]["available"]


@inlined
def get_or_create_balance(pools: Any, account: Any, asset: Any) -> Any:
    """Index of the balance in `balances`, which is created if it does not exist."""
    index = tables.find_balance(pools, account, asset)
    if index == 0:
        index = pools.state[p.BALANCE_TOP]
        pools.state[p.BALANCE_TOP] += 1
        pools.balances[index]["account"] = account
        pools.balances[index]["asset"] = asset
        tables.insert(pools.balance_table, tables.mix(account, asset), index)
    return index


@inlined
def get_or_create_account(pools: Any, account: Any) -> Any:
    """Index of the account in `accounts`, which is created if it does not exist."""
    owner = tables.find_account(pools, account)
    if owner == 0:
        owner = pools.state[p.ACCOUNT_TOP]
        pools.state[p.ACCOUNT_TOP] += 1
        row = pools.accounts[owner]
        row["account"] = account
        row["maker_fee"] = -1
        row["taker_fee"] = -1
        tables.insert(pools.account_table, tables.mix(account, 0), owner)
    return owner


@inlined
def create_trader(pools: Any, account: Any, instrument_id: Any) -> Any:
    """Creates a trader, and its account and balances where they do not exist. Returns its index in `traders`."""
    owner = get_or_create_account(pools, account)
    instrument = pools.instruments[instrument_id]
    base = get_or_create_balance(pools, account, np.int64(instrument["base"]))
    quote = get_or_create_balance(pools, account, np.int64(instrument["quote"]))
    index = pools.state[p.TRADER_TOP]
    pools.state[p.TRADER_TOP] += 1
    trader = pools.traders[index]
    trader["account"] = account
    trader["owner"] = owner
    trader["instrument"] = instrument_id
    trader["base_balance"] = base
    trader["quote_balance"] = quote
    row = pools.accounts[owner]
    trader["status"] = row["status"]
    trader["has_terms"] = 1 if row["maker_fee"] >= 0 else 0
    terms = pools.terms[index]
    terms["maker_fee"] = row["maker_fee"]
    terms["taker_fee"] = row["taker_fee"]
    terms["next"] = row["first_trader"]
    row["first_trader"] = index
    tables.insert(pools.trader_table, tables.mix(account, instrument_id), index)
    return index


@inlined
def locked_amount(instrument: Any, side: Any, price: Any, lots: Any) -> Any:
    """What an open order locks: quote units for a buy at its own price, base units for a sell."""
    quote, base = lots * price * instrument["quote_unit"], lots * instrument["lot_units"]
    return quote if side == BUY else base


@inlined
def paying_balance(trader_row: Any, side: Any) -> Any:
    quote, base = np.int64(trader_row["quote_balance"]), np.int64(trader_row["base_balance"])
    return quote if side == BUY else base


@inlined
def lock(pools: Any, balance: Any, amount: Any) -> None:
    """Moves `amount` from available to locked; a negative amount moves it back."""
    row = pools.balances[balance]
    row["available"] -= amount
    row["locked"] += amount

"""Balances, traders and fees. Amounts are int64 in smallest units and never exceed AMOUNT_LIMIT = 2^62."""

from typing import Any

import numpy as np

from matching.core.codes import PPM
from matching.core.kernel.compiling import entry, inlined
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import tables

_PPM = np.uint64(PPM)


@inlined
def fee(amount: Any, rate: Any) -> Any:
    """floor(amount × rate / 10^6) with no product above 2^62: a × 10^6 + b gives a × rate + floor(b × rate / 10^6)."""
    whole = np.int64(np.uint64(amount) // _PPM)
    rest = amount - whole * PPM
    return whole * rate + np.int64(np.uint64(rest * rate) // _PPM)


@inlined
def product_exceeds(first: Any, second: Any, limit: Any) -> Any:
    """first × second > limit, for numbers > 0, without the product wrapping."""
    if first < 2147483648 and second < 2147483648:
        return first * second > limit
    return first > limit // second


@inlined
def available(pools: Any, account: Any, asset: Any) -> Any:
    place = tables.find_balance(pools, account, asset)
    if place == 0:
        return np.int64(0)
    return pools.balances[place]["available"]


@inlined
def balance_of(pools: Any, account: Any, asset: Any) -> Any:
    """Place of the balance; made if it is not there."""
    place = tables.find_balance(pools, account, asset)
    if place == 0:
        place = pools.state[p.BALANCE_TOP]
        pools.state[p.BALANCE_TOP] += 1
        pools.balances[place]["account"] = account
        pools.balances[place]["asset"] = asset
        tables.insert(pools.balance_table, tables.mix(account, asset), place)
    return place


@inlined
def new_trader(pools: Any, account: Any, instrument_id: Any) -> Any:
    """Place of a trader that is not there yet, with its account and balances."""
    owner = tables.find_account(pools, account)
    if owner == 0:
        owner = pools.state[p.ACCOUNT_TOP]
        pools.state[p.ACCOUNT_TOP] += 1
        pools.accounts[owner]["account"] = account
        tables.insert(pools.account_table, tables.mix(account, 0), owner)
    instrument = pools.instruments[instrument_id]
    base = balance_of(pools, account, np.int64(instrument["base"]))
    quote = balance_of(pools, account, np.int64(instrument["quote"]))
    place = pools.state[p.TRADER_TOP]
    pools.state[p.TRADER_TOP] += 1
    trader = pools.traders[place]
    trader["account"] = account
    trader["owner"] = owner
    trader["instrument"] = instrument_id
    trader["base_balance"] = base
    trader["quote_balance"] = quote
    tables.insert(pools.trader_table, tables.mix(account, instrument_id), place)
    return place


@inlined
def lock(pools: Any, balance: Any, amount: Any) -> None:
    """Moves `amount` from available to locked; a negative one back."""
    row = pools.balances[balance]
    row["available"] -= amount
    row["locked"] += amount


@entry
def open_balance(pools: Any, account: Any, asset: Any) -> Any:
    """`balance_of` for Python; the pools are reserved for one command."""
    return balance_of(pools, account, asset)

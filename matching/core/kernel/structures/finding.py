"""Finds records of the pools for readers, which may ask for what does not exist. 0: there is none.

Readers can be asked before the engine has any account, when the tables that are searched have no entries at all.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import book, tables


@inlined
def account(pools: Any, number: Any) -> Any:
    """Index in `accounts`."""
    return tables.find_account(pools, number) if len(pools.account_table) > 0 else np.int64(0)


@inlined
def balance(pools: Any, number: Any, asset: Any) -> Any:
    """Index in `balances`."""
    return tables.find_balance(pools, number, asset) if len(pools.balance_table) > 0 else np.int64(0)


@inlined
def trader(pools: Any, number: Any, instrument_id: Any) -> Any:
    """Index in `traders`."""
    return tables.find_trader(pools, number, instrument_id) if len(pools.trader_table) > 0 else np.int64(0)


@inlined
def order(pools: Any, order_id: Any) -> Any:
    """Index in `orders`, of an open order."""
    return book.find_order(pools, order_id) if len(pools.directory) > 0 else np.int64(0)

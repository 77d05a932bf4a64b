"""Compiles the loops of a projection and of the trail, or loads them from the cache, before blocks wait for them."""

import numpy as np

from matching.core import layout
from matching.core.registry import Registry
from settlement.project.columns.balances import BALANCE_STATE, ChangedBalances
from settlement.project.columns.orders import ORDER_STATE, ChangedOrders
from settlement.project.columns.records import BLOCK, BatchRecords
from settlement.project.columns.state_cache import StateCache
from settlement.project.columns.trades import BatchTrades
from settlement.project.columns.trail_lines import text_of


def compile_now() -> None:
    """Takes some fifteen seconds once on a machine, then a fraction of one."""
    batch, registry = _no_records(), Registry()
    ChangedOrders(batch).fold(np.zeros(0, ORDER_STATE))
    ChangedBalances(batch, registry).fold(np.zeros(0, BALANCE_STATE))
    trades = BatchTrades(batch, registry)
    trades.minutes().fold({})
    text_of(trades.table(), [], np.zeros(0, np.int64), registry)
    key, states = np.ones(1, np.int64), np.zeros(1, ORDER_STATE)
    cache = StateCache(ORDER_STATE, kept=1)
    cache.put(key, key, states)
    cache.take(key, key)
    cache.drop(key, key)


def _no_records() -> BatchRecords:
    return BatchRecords(
        events=np.zeros(0, layout.EVENT),
        unlocked=np.zeros(0, np.int64),
        block_of=np.zeros(0, np.int64),
        blocks=np.zeros(0, BLOCK),
        commands=np.zeros(0, layout.COMMAND),
        texts=np.zeros(0, np.uint8),
    )

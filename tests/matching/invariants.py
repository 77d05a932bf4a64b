"""Invariants of an engine after every command, computed from its balances and open orders."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from matching.core import layout
from matching.core.codes import OrderType, Side, name_of
from matching.core.engine import Engine
from matching.core.kernel.structures import pools as p
from matching.core.reading.open_orders import OpenOrder

RISES = {("buy", "stop_loss"), ("buy", "stop_loss_limit"), ("sell", "take_profit"), ("sell", "take_profit_limit")}


class Waiting(NamedTuple):
    """An order that waits for its trigger, and what it has locked."""

    order_id: int
    account: int
    instrument: int
    side: str
    direction: str
    trigger_price: int
    needed: int  # alone
    shared: int  # what its limit leg has locked
    held: int
    is_queued: bool


def check_invariants(engine: Engine, supplies: Mapping[str, int]) -> None:
    """`supplies`: deposits − withdrawals by asset symbol. Raises AssertionError."""
    orders, waiting = engine.open_orders(), list(_waiting(engine))
    _check_funds(engine, orders, waiting, supplies)
    _check_books(engine, orders)
    _check_triggers(engine, waiting)
    _check_counters(engine, orders, waiting)
    _check_derived(engine)


def _waiting(engine: Engine) -> Iterator[Waiting]:
    pools = engine.pools
    for order in pools.orders[pools.orders["order_id"] != 0]:
        extra = pools.extras[order["extra"]]
        if not order["extra"] or extra["state"] == layout.RESTING:
            continue
        trader = pools.traders[order["trader"]]
        instrument = pools.instruments[trader["instrument"]]
        side, order_type = name_of(Side(int(order["side"]))), name_of(OrderType(int(extra["order_type"])))
        lots, price = int(order["remaining"]), int(extra["price"] or extra["trigger_price"])
        quote_unit, lot_units = int(instrument["quote_unit"]), int(instrument["lot_units"])
        shared = 0
        if extra["partner"]:
            leg = pools.orders[extra["partner"]]
            assert pools.extras[leg["extra"]]["partner"] == _slot_of(engine, int(order["order_id"]))
            level = int(leg["level"])
            limit_price = int(pools.leaves["base"][level >> 6]) + (level & 63)
            shared = lots * (limit_price * quote_unit if side == "buy" else lot_units)
        yield Waiting(
            int(order["order_id"]),
            int(trader["account"]),
            int(trader["instrument"]),
            side,
            "rise" if (side, order_type) in RISES else "fall",
            int(extra["trigger_price"]),
            lots * (price * quote_unit if side == "buy" else lot_units),
            shared,
            int(extra["held"]),
            bool(extra["state"] == layout.QUEUED),
        )


def _slot_of(engine: Engine, order_id: int) -> int:
    (slot,) = (engine.pools.orders["order_id"] == order_id).nonzero()[0].tolist()
    return int(slot)


def _check_funds(engine: Engine, orders: list[OpenOrder], waiting: list[Waiting], supplies: Mapping[str, int]) -> None:
    held: Counter[tuple[int, str]] = Counter()
    for order in orders:
        instrument = engine.registry.instrument_by_symbol[order.symbol]
        assert 0 < order.remaining <= order.quantity, order
        if order.side == "buy":
            held[order.account, instrument.quote.symbol] += order.price * order.remaining * instrument.quote_unit
        else:
            held[order.account, instrument.base.symbol] += order.remaining * instrument.lot_units
    for pending in waiting:
        assert pending.held == max(0, pending.needed - pending.shared), pending
        instrument = engine.registry.instruments[pending.instrument]
        asset = instrument.quote if pending.side == "buy" else instrument.base
        if pending.held:
            held[pending.account, asset.symbol] += pending.held
    totals: Counter[str] = Counter()
    for account, symbol, available, locked in engine.balances():
        assert min(available, locked) >= 0, (account, symbol, available, locked)
        assert locked == held.pop((account, symbol), 0), (account, symbol, locked)
        totals[symbol] += available + locked
    assert not held, "an open order holds what is not locked"
    assert +totals == +Counter(supplies)
    assert all(total <= 2**62 for total in totals.values())


def _check_books(engine: Engine, orders: list[OpenOrder]) -> None:
    assert len({order.order_id for order in orders}) == len(orders)
    levels: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for order in orders:
        shown = order.remaining if order.visible is None else order.visible
        assert 0 < shown <= order.remaining, order
        levels[order.symbol, order.side][order.price] += shown
    for instrument in engine.registry.instruments:
        bids, asks = levels[instrument.symbol, "buy"], levels[instrument.symbol, "sell"]
        record = engine.pools.instruments[instrument.id]
        best_bid, best_ask = max(bids, default=0), min(asks, default=layout.NO_ASK)
        assert best_bid < best_ask, instrument.symbol
        assert (record["best_bid"], record["best_ask"]) == (best_bid, best_ask), instrument.symbol
        assert engine.depth(instrument, len(orders) + 1) == {
            "bids": [[price, bids[price]] for price in sorted(bids, reverse=True)],
            "asks": [[price, asks[price]] for price in sorted(asks)],
        }


def _check_triggers(engine: Engine, waiting: list[Waiting]) -> None:
    """The nearest trigger prices are right, and no order waits that the last price triggers."""
    for instrument in engine.registry.instruments:
        record = engine.pools.instruments[instrument.id]
        of_it = [one for one in waiting if one.instrument == instrument.id and not one.is_queued]
        rises = [one.trigger_price for one in of_it if one.direction == "rise"]
        falls = [one.trigger_price for one in of_it if one.direction == "fall"]
        nearest = min(rises, default=layout.NO_ASK), max(falls, default=0)
        assert (record["rise_at"], record["fall_at"]) == nearest, instrument.symbol
        last_price = int(record["last_price"])
        assert not last_price or nearest[1] < last_price < nearest[0], instrument.symbol


def _check_counters(engine: Engine, orders: list[OpenOrder], waiting: list[Waiting]) -> None:
    """Memory is reserved from these counts: one that is too low would lead to a missing leaf, node or page."""
    pools, state = engine.pools, engine.pools.state
    assert engine.open_order_count == len(orders) + len(waiting)
    is_open = pools.orders["order_id"] != 0
    assert state[p.EXTRA_COUNT] == (pools.orders["extra"][is_open] != 0).sum()
    of_traders = Counter(pools.orders["trader"][is_open].tolist())
    counts = pools.traders["open_orders"]
    assert {int(trader): int(counts[trader]) for trader in counts.nonzero()[0]} == of_traders
    prices: dict[tuple[int, str], set[int]] = defaultdict(set)
    for order in orders:
        prices[engine.registry.instrument_by_symbol[order.symbol].id, "book"].add(order.price)
    for pending in waiting:
        if not pending.is_queued:
            prices[pending.instrument, pending.direction].add(pending.trigger_price)
    assert state[p.LEAF_COUNT] == sum(len({price >> 6 for price in found}) for found in prices.values())
    nodes = 0
    for instrument in engine.registry.instruments:
        trees = {"book": pools.instruments[instrument.id]}
        trees |= {"rise": pools.trigger_trees[2 * instrument.id], "fall": pools.trigger_trees[2 * instrument.id + 1]}
        for name, tree in trees.items():
            nodes += bool(tree["root"])
            for height in range(1, int(tree["height"])):
                nodes += len({price >> 6 * (height + 1) for price in prices[instrument.id, name]})
    assert state[p.NODE_COUNT] == nodes
    ids = [order.order_id for order in orders] + [one.order_id for one in waiting]
    assert state[p.PAGE_COUNT] == len({order_id >> p.PAGE_BITS for order_id in ids})


def _check_derived(engine: Engine) -> None:
    """What follows from the other arrays is as a snapshot restores it."""
    pieces = int(engine.pools.state[p.HIDDEN_PIECES])
    derived = p.derive(engine.pools._asdict())
    assert int(engine.pools.state[p.HIDDEN_PIECES]) == pieces
    for name in p.DERIVED:
        assert np.array_equal(getattr(derived, name), getattr(engine.pools, name)), name

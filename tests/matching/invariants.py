"""Invariants of an engine after every command, computed from its balances and open orders."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from matching.core import layout
from matching.core.engine import Engine, OpenOrder
from matching.core.kernel.structures import pools as p


def check_invariants(engine: Engine, supplies: Mapping[str, int]) -> None:
    """`supplies`: deposits − withdrawals by asset symbol. Raises AssertionError."""
    orders = engine.open_orders()
    _check_funds(engine, orders, supplies)
    _check_books(engine, orders)
    _check_counters(engine, orders)


def _check_funds(engine: Engine, orders: list[OpenOrder], supplies: Mapping[str, int]) -> None:
    held: Counter[tuple[int, str]] = Counter()
    for order in orders:
        instrument = engine.registry.instrument_by_symbol[order.symbol]
        assert 0 < order.remaining <= order.quantity, order
        if order.side == "buy":
            held[order.account, instrument.quote.symbol] += order.price * order.remaining * instrument.quote_unit
        else:
            held[order.account, instrument.base.symbol] += order.remaining * instrument.lot_units
    totals: Counter[str] = Counter()
    for account, symbol, available, locked in engine.balances():
        assert min(available, locked) >= 0, (account, symbol, available, locked)
        assert locked == held.pop((account, symbol), 0), (account, symbol, locked)
        totals[symbol] += available + locked
    assert not held, "an open order holds what is not locked"
    assert +totals == +Counter(supplies)
    assert all(total <= 2**62 for total in totals.values())


def _check_books(engine: Engine, orders: list[OpenOrder]) -> None:
    assert len({order.order_id for order in orders}) == len(orders) == engine.open_order_count
    levels: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for order in orders:
        levels[order.symbol, order.side][order.price] += order.remaining
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


def _check_counters(engine: Engine, orders: list[OpenOrder]) -> None:
    """Memory is reserved from these counts: one that is too low would lead to a missing leaf, node or page."""
    state = engine.pools.state
    prices: dict[str, set[int]] = defaultdict(set)
    for order in orders:
        prices[order.symbol].add(order.price)
    assert state[p.LEAF_COUNT] == sum(len({price >> 6 for price in found}) for found in prices.values())
    nodes = len(engine.registry.instruments)  # a root each
    for instrument in engine.registry.instruments:
        for height in range(1, int(engine.pools.instruments[instrument.id]["height"])):
            nodes += len({price >> 6 * (height + 1) for price in prices[instrument.symbol]})
    assert state[p.NODE_COUNT] == nodes
    assert state[p.PAGE_COUNT] == len({order.order_id >> p.PAGE_BITS for order in orders})

"""What an order would take from the book, found without changing anything.

It stops where matching would stop: at the price of a limit order, the band, the limit of makers, an own order.
"""

from collections.abc import Iterator

from tests.reference.orders import OPPOSITE, Order
from tests.reference.state import State


def would_take(state: State, taker: Order, *, banded: bool) -> list[tuple[int, int]]:
    """(lots, price) of each trade that the order would make under its own self-trade mode.

    `banded`: whether it meets no maker outside the price band, as a market order or a triggered one.
    """
    market = state.market(taker)
    trades: list[tuple[int, int]] = []
    left, left_quote = taker.remaining, taker.quote_left
    cancelled: set[Order] = set()
    met = 0
    for maker, shown in _pieces(state, taker):
        price = maker.own_price
        if maker in cancelled:
            continue
        wanted = left if left_quote is None else left_quote // (price * taker.instrument.quote_unit)
        assert wanted is not None
        if wanted == 0 or not taker.accepts(price) or (banded and market.is_outside_band(price)):
            return trades
        if met == state.limits.makers:
            return trades
        met += 1
        if maker.account == taker.account and taker.self_trade_prevention != "none":
            if taker.self_trade_prevention != "expire_maker":
                return trades
            cancelled.add(maker)
            continue
        lots = min(wanted, shown)
        trades.append((lots, price))
        if lots < shown:
            return trades
        if left is not None:
            left -= lots
        if left_quote is not None:
            left_quote -= lots * price * taker.instrument.quote_unit
    return trades


def funds_needed(state: State, order: Order, *, banded: bool) -> int:
    """Amount that the order locks when it is accepted or triggered, in units of `order.locked_asset`."""
    instrument = order.instrument
    if order.price is not None or order.is_waiting:
        return order.hold
    if not order.is_buy:
        lots = order.remaining
        if lots is None:
            lots = sum(lots for lots, _ in would_take(state, order, banded=banded))
        return lots * instrument.lot_units
    if order.quote_left is not None:
        return order.quote_left
    return sum(lots * price * instrument.quote_unit for lots, price in would_take(state, order, banded=banded))


def is_fillable(state: State, order: Order, *, banded: bool) -> bool:
    """Whether the order can be filled whole at once."""
    return sum(lots for lots, _ in would_take(state, order, banded=banded)) == order.open_lots


def _pieces(state: State, taker: Order) -> Iterator[tuple[Order, int]]:
    """Makers of the other side and the lots that each shows, as a taker of everything would meet them."""
    for queue in state.market(taker).book.levels(OPPOSITE[taker.side]):
        line = [(maker, maker.shown, maker.open_lots - maker.shown) for maker in queue]
        while line:
            maker, shown, hidden = line.pop(0)
            yield maker, shown
            if hidden > 0:
                assert maker.visible_quantity is not None
                following = min(maker.visible_quantity, hidden)
                line.append((maker, following, hidden - following))

"""Order validation of the reference engine: the first reason of docs/semantics.md, section 4, that applies."""

from dataclasses import dataclass

from tests.reference.limits import MOST_PIECES, NOTIONAL_LIMIT
from tests.reference.orders import OPPOSITE, Order
from tests.reference.plain_decimal import INT64_MAX
from tests.reference.reckoning import funds_needed
from tests.reference.state import Market, State


@dataclass(frozen=True)
class Case:
    """`order`: a new order, or an open one as it would be after a replace; then `replaced` is as it is before.

    `leg`: the limit leg of the same oco, which is taken as standing.
    """

    state: State
    order: Order
    replaced: Order | None = None
    leg: Order | None = None

    @property
    def market(self) -> Market:
        return self.state.market(self.order)

    @property
    def keeps_place(self) -> bool:
        """Whether a replaced order keeps its place in the queue of its price."""
        before = self.replaced
        return before is not None and before.price == self.order.price and self.order.open_lots <= before.open_lots

    def refusal(self) -> str | None:
        return next((reason for reason, applies in _CHECKS if applies(self)), None)


def _is_restricted(case: Case) -> bool:
    return case.state.accounts.status(case.order.account) != "active"


def _is_halted(case: Case) -> bool:
    return case.market.status != "trading"


def _has_invalid_price(case: Case) -> bool:
    return any(price is not None and price <= 0 for price in (case.order.price, case.order.trigger_price))


def _has_invalid_quantity(case: Case) -> bool:
    order, instrument = case.order, case.order.instrument
    if order.quote_left is not None:
        return order.quote_left <= 0
    lots, visible = order.open_lots, order.visible_quantity
    if lots <= 0 or not instrument.min_quantity <= lots <= instrument.max_quantity:
        return True
    if visible is None:
        return False
    if case.replaced is None and (visible < instrument.min_quantity or visible > lots):
        return True
    return -(-lots // visible) > MOST_PIECES


def _overflows(case: Case) -> bool:
    order = case.order
    if order.remaining is not None and order.remaining * order.instrument.lot_units > NOTIONAL_LIMIT:
        return True
    # An order that trades and is replaced over and over counts all that it ever traded.
    if order.quantity is not None and order.quantity > INT64_MAX:
        return True
    return order.notional is not None and order.notional > NOTIONAL_LIMIT


def _is_below_min_notional(case: Case) -> bool:
    notional = case.order.notional
    return notional is not None and notional < case.order.instrument.min_notional


def _is_out_of_band(case: Case) -> bool:
    if case.order.order_type != "limit" or case.keeps_place:
        return False
    return case.market.is_outside_band(case.order.own_price)


def _has_namesake(case: Case) -> bool:
    order = case.order
    if order.client_order_id is None:
        return False
    if case.leg is not None and case.leg.client_order_id == order.client_order_id:
        return True
    namesake = case.state.namesake(order.account, order.instrument.symbol, order.client_order_id)
    return namesake is not None and namesake is not case.replaced


def _is_one_too_many(case: Case) -> bool:
    order, most = case.order, case.order.instrument.max_open_orders
    if case.replaced is not None or most == 0 or not order.can_rest:
        return False
    beside = case.state.open_count(order.account, order.instrument.symbol) + (case.leg is not None)
    return beside + 1 > most


def _would_trigger(case: Case) -> bool:
    last = case.market.last_price
    return case.order.is_waiting and last is not None and case.order.is_triggered_by(last)


def _lacks_balance(case: Case) -> bool:
    order = case.order
    available = case.state.funds.available(order.account, order.locked_asset)
    # What a replaced order has locked already counts as available. The legs of an oco share a lock, so that both need
    # no more than the one that needs more; the limit leg was judged before.
    held = case.replaced.held if case.replaced is not None else 0
    return funds_needed(case.state, order, banded=True) > available + held


def _would_match_post_only(case: Case) -> bool:
    best = case.market.book.best_price(OPPOSITE[case.order.side])
    return case.order.post_only and best is not None and case.order.accepts(best)


def _buys_no_lot(case: Case) -> bool:
    order, best = case.order, case.market.book.best_price(OPPOSITE[case.order.side])
    return order.quote_left is not None and best is not None and order.quote_left < best * order.instrument.quote_unit


_CHECKS = (
    ("account_restricted", _is_restricted),
    ("instrument_halted", _is_halted),
    ("invalid_price", _has_invalid_price),
    ("invalid_quantity", _has_invalid_quantity),
    ("notional_overflow", _overflows),
    ("below_min_notional", _is_below_min_notional),
    ("price_out_of_band", _is_out_of_band),
    ("duplicate_client_order_id", _has_namesake),
    ("too_many_orders", _is_one_too_many),
    ("would_trigger_immediately", _would_trigger),
    ("insufficient_balance", _lacks_balance),
    ("post_only_would_match", _would_match_post_only),
    ("quote_quantity_too_small", _buys_no_lot),
)

"""Order validation of the reference engine, in the order of docs/semantics.md, section 4."""

from collections.abc import Iterator

from tests.reference.book import OPPOSITE, Book, Order
from tests.reference.commands import Instrument
from tests.reference.ledger import Ledger
from tests.reference.plain_decimal import INT64_MAX

NOTIONAL_LIMIT = 2**62


class Admission:
    """Reads the exchange's state without changing it."""

    def __init__(
        self,
        status: dict[str, str],
        books: dict[str, Book],
        funds: Ledger,
        open_by_client_id: dict[tuple[int, str, str], Order],
    ) -> None:
        self.status = status
        self.books = books
        self.funds = funds
        self.open_by_client_id = open_by_client_id

    def refusal_of(self, order: Order) -> str | None:
        """Checks a new order, or an open one as it would be after a replace."""
        if self.status[order.instrument.symbol] != "trading":
            return "instrument_halted"
        return self._refusal_of_terms(order) or self._refusal_of_funds(order) or self._refusal_of_market(order)

    def _refusal_of_terms(self, order: Order) -> str | None:
        """Checks that depend on the order only, not on book or balances."""
        instrument = order.instrument
        if order.price is not None and order.price <= 0:
            return "invalid_price"
        if order.quote_left is not None and order.quote_left <= 0:
            return "invalid_quantity"
        if order.remaining is not None and not _is_within(instrument, order.remaining):
            return "invalid_quantity"
        if order.remaining is not None and order.remaining * instrument.lot_units > NOTIONAL_LIMIT:
            return "notional_overflow"
        # An order that trades and is replaced over and over counts all that it ever traded.
        if order.quantity is not None and order.quantity > INT64_MAX:
            return "notional_overflow"
        notional = order.quote_left if order.is_market else order.notional
        if notional is not None and notional > NOTIONAL_LIMIT:
            return "notional_overflow"
        if notional is not None and notional < instrument.min_notional:
            return "below_min_notional"
        return None

    def _refusal_of_funds(self, order: Order) -> str | None:
        if order.client_order_id is not None:
            namesake = self.open_by_client_id.get((order.account, order.instrument.symbol, order.client_order_id))
            if namesake is not None and namesake.order_id != order.order_id:
                return "duplicate_client_order_id"
        # `held` is 0 for a new order; what a replaced one has locked already counts as available.
        if self.funds_needed(order) > self.funds.available(order.account, order.locked_asset) + order.held:
            return "insufficient_balance"
        return None

    def _refusal_of_market(self, order: Order) -> str | None:
        """Checks against the opposite side of the book."""
        best = self.books[order.instrument.symbol].best_price(OPPOSITE[order.side])
        if order.post_only and best is not None and order.accepts(best):
            return "post_only_would_match"
        if order.time_in_force == "fok" and sum(lots for lots, _ in self._would_take(order)) < order.open_lots:
            return "fok_not_fillable"
        if order.is_market and best is None:
            return "no_liquidity"
        if order.quote_left is not None and best is not None and order.quote_left < best * order.instrument.quote_unit:
            return "quote_quantity_too_small"
        return None

    def funds_needed(self, order: Order) -> int:
        """Amount that the order locks when accepted, in units of `order.locked_asset`."""
        if order.quote_left is not None:
            return order.quote_left
        if order.is_market and order.is_buy:
            return sum(lots * price * order.instrument.quote_unit for lots, price in self._would_take(order))
        return order.open_lots * order.instrument.lot_units if order.is_market else order.hold

    def _would_take(self, order: Order) -> Iterator[tuple[int, int]]:
        """(lots, price) of each trade that an order by quantity would make under its own self-trade mode."""
        left = order.open_lots
        for maker in self.books[order.instrument.symbol].orders(OPPOSITE[order.side]):
            if left == 0 or not order.accepts(maker.own_price):
                return
            if maker.account == order.account and order.self_trade_prevention != "none":
                if order.self_trade_prevention == "expire_maker":
                    continue
                return
            lots = min(left, maker.open_lots)
            left -= lots
            yield lots, maker.own_price


def _is_within(instrument: Instrument, lots: int) -> bool:
    return lots > 0 and instrument.min_quantity <= lots <= instrument.max_quantity

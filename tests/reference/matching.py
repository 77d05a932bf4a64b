"""Matching: a taker meets makers, best price first; docs/semantics.md, section 5, "At each maker"."""

from tests.reference import forms
from tests.reference.ledger import HOUSE
from tests.reference.open_orders import OpenOrders
from tests.reference.orders import OPPOSITE, Order
from tests.reference.reckoning import is_fillable
from tests.reference.state import PPM, State


class Matching:
    def __init__(self, state: State, orders: OpenOrders) -> None:
        self.state = state
        self.orders = orders
        self.trades: list[tuple[str, int]] = []  # symbol and price of those that nobody has looked at for triggers

    def match(self, taker: Order, *, banded: bool) -> None:
        """Trades until the taker is done, then adds the rest to the book or cancels it.

        `banded`: whether it meets no maker outside the price band, as a market order or a triggered one.
        """
        if taker.time_in_force == "fok" and not is_fillable(self.state, taker, banded=banded):
            self.orders.cancel(taker, "fok_not_fillable")
            return
        met = 0
        while taker.remaining != 0:
            maker = self.state.market(taker).book.first(OPPOSITE[taker.side])
            if taker.quote_left == 0:
                self.orders.cancel(taker, "quote_quantity_used")
                return
            if maker is None or not taker.accepts(maker.own_price):
                self._finish_unmatched(taker)
                return
            reason = self._reason_to_stop(taker, maker, met, banded)
            if reason is not None:
                self.orders.cancel(taker, reason)
                return
            met += 1
            if maker.account != taker.account or taker.self_trade_prevention == "none":
                self._trade(maker, taker)
                continue
            if taker.self_trade_prevention in ("expire_maker", "expire_both"):
                self.orders.cancel(maker, "self_trade", taker)
            if taker.self_trade_prevention in ("expire_taker", "expire_both"):
                self.orders.cancel(taker, "self_trade", maker)
                return
        assert taker.held == 0, taker

    def _reason_to_stop(self, taker: Order, maker: Order, met: int, banded: bool) -> str | None:
        """Why the taker, which accepts the maker's price, does not meet it."""
        if _lots_between(taker, maker) == 0:
            return "quote_quantity_used"
        if banded and self.state.market(taker).is_outside_band(maker.own_price):
            return "price_band"
        return "work_limit" if met == self.state.limits.makers else None

    def _finish_unmatched(self, taker: Order) -> None:
        if taker.price is None:
            self.orders.cancel(taker, "no_liquidity")
        elif taker.time_in_force == "ioc":
            self.orders.cancel(taker, "ioc")
        else:
            assert taker.time_in_force == "gtc", taker
            self.orders.rest(taker)

    # One trade

    def _trade(self, maker: Order, taker: Order) -> None:
        if maker.partner is not None:
            self.orders.cancel_alone(maker.partner, "oco")
        market, lots, price = self.state.market(taker), _lots_between(taker, maker), maker.own_price
        fees = self._fees(maker, taker, lots)
        self.state.trade_count += 1
        market.trade_count += 1
        market.last_price = price
        self.trades.append((taker.instrument.symbol, price))
        sequence = self.state.journal.emit(
            "trade", **forms.trade(self.state.journal.event_count + 1, market.trade_count, maker, taker, lots, fees)
        )
        self._settle(sequence, maker, taker, lots, fees)
        self._fill(maker, taker, lots)

    def _fees(self, maker: Order, taker: Order, lots: int) -> tuple[int, int]:
        """(buyer's in base units, seller's in quote units)"""
        instrument = taker.instrument
        maker_rate, _ = self.state.accounts.rates(maker.account, instrument)
        _, taker_rate = self.state.accounts.rates(taker.account, instrument)
        buyer_rate, seller_rate = (taker_rate, maker_rate) if taker.is_buy else (maker_rate, taker_rate)
        base_amount = lots * instrument.lot_units
        quote_amount = lots * maker.own_price * instrument.quote_unit
        return base_amount * buyer_rate // PPM, quote_amount * seller_rate // PPM

    def _settle(self, sequence: int, maker: Order, taker: Order, lots: int, fees: tuple[int, int]) -> None:
        """Ledger entries of one trade: buyer, seller, house. An order without a price locked exactly what it pays."""
        instrument, price = taker.instrument, maker.own_price
        base, quote = instrument.base.symbol, instrument.quote.symbol
        buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
        buyer_fee, seller_fee = fees
        base_amount, quote_amount = lots * instrument.lot_units, lots * price * instrument.quote_unit
        own_price = price if buyer.price is None else buyer.price
        released = lots * (own_price - price) * instrument.quote_unit
        buyer.held -= quote_amount + released
        seller.held -= base_amount
        assert min(buyer.held, seller.held) >= 0, (buyer, seller)
        post = self.state.funds.post
        post(sequence, buyer.account, quote, "trade_debit", locked=-quote_amount)
        post(sequence, buyer.account, quote, "release", available=released, locked=-released)
        post(sequence, buyer.account, base, "trade_credit", available=base_amount)
        post(sequence, buyer.account, base, "fee", available=-buyer_fee)
        post(sequence, seller.account, base, "trade_debit", locked=-base_amount)
        post(sequence, seller.account, quote, "trade_credit", available=quote_amount)
        post(sequence, seller.account, quote, "fee", available=-seller_fee)
        post(sequence, HOUSE, base, "fee", available=buyer_fee)
        post(sequence, HOUSE, quote, "fee", available=seller_fee)

    def _fill(self, maker: Order, taker: Order, lots: int) -> None:
        for order in (maker, taker):
            if order.remaining is not None:
                order.remaining -= lots
        if taker.quote_left is not None:
            taker.quote_left -= lots * maker.own_price * taker.instrument.quote_unit
        maker.shown -= lots
        if maker.remaining == 0:
            assert maker.held == 0, maker
            self.orders.remove(maker)
        elif maker.shown == 0:
            maker.show()
            self.state.market(maker).book.move_to_end(maker)


def _lots_between(taker: Order, maker: Order) -> int:
    """Lots of their trade; 0 if what is left of a quote_quantity does not pay for one lot."""
    if taker.quote_left is not None:
        return min(taker.quote_left // (maker.own_price * taker.instrument.quote_unit), maker.shown)
    return min(taker.open_lots, maker.shown)

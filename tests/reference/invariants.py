"""What holds between commands, whatever they were."""

from tests.reference.forms import Event
from tests.reference.orders import OPPOSITE, Order
from tests.reference.plain_decimal import parse, steps
from tests.reference.state import State


def check(state: State) -> None:
    """Money, locks, books and open orders agree."""
    _check_holds(state)
    _check_books(state)
    _check_open_orders(state)


def _check_holds(state: State) -> None:
    """Each open order holds what it must; the sums are what is locked; no asset is created or lost."""
    held: dict[tuple[int, str], int] = {}
    for order in state.open.values():
        assert order.held == _expected_hold(order), order
        if order.held:
            key = (order.account, order.locked_asset)
            held[key] = held.get(key, 0) + order.held
    state.funds.check_invariants(held)


def _expected_hold(order: Order) -> int:
    """Of an oco the stop leg holds only what it needs beyond the limit leg."""
    if order.is_waiting and order.partner is not None:
        return max(0, order.hold - order.partner.hold)
    return order.hold


def _check_books(state: State) -> None:
    for market in state.markets.values():
        bid, ask = market.book.best_price("buy"), market.book.best_price("sell")
        assert bid is None or ask is None or bid < ask, (bid, ask)
    books = {
        order.order_id for market in state.markets.values() for side in OPPOSITE for order in market.book.orders(side)
    }
    waiting = {order.order_id for market in state.markets.values() for order in market.waiting}
    assert books == {order.order_id for order in state.open.values() if not order.is_waiting}
    assert waiting == {order.order_id for order in state.open.values() if order.is_waiting}


def _check_open_orders(state: State) -> None:
    for order in state.open.values():
        assert 0 < order.open_lots <= (order.quantity or 0), order
        if not order.is_waiting:
            assert 0 < order.shown <= order.open_lots, order
            assert order.shown == order.open_lots or order.shown <= (order.visible_quantity or 0), order
        if order.partner is not None:
            assert order.partner.partner is order, order
            assert order.partner.order_id in state.open, order
            assert order.partner.is_waiting != order.is_waiting, order
        if order.client_order_id is not None:
            assert state.named[order.account, order.instrument.symbol, order.client_order_id] is order, order
    assert len(state.named) == sum(1 for order in state.open.values() if order.client_order_id is not None)
    assert len(state.queue) == len(set(state.queue)), state.queue


class Watch:
    """Reads the events of each command, and so finds what the state alone does not tell."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.trades: dict[str, list[tuple[int, int]]] = {}  # by symbol: sequence, price in ticks
        self.accepted: dict[int, int] = {}  # sequence of `order_accepted` by order_id
        self.last_sequence = 0

    def check(self, events: list[Event]) -> None:
        """After each command."""
        check(self.state)
        for event in events:
            self._read(event)
        self._check_no_trigger_was_passed_over()

    def _read(self, event: Event) -> None:
        if event["sequence"] is None:
            return
        self.last_sequence += 1
        assert event["sequence"] == self.last_sequence, event
        if event["event"] == "order_accepted":
            self.accepted[event["order_id"]] = event["sequence"]
        if event["event"] == "trade":
            trades = self.trades.setdefault(event["symbol"], [])
            price = parse(event["price"])
            assert price is not None
            ticks = steps(price, self.state.markets[event["symbol"]].instrument.tick_size)
            assert ticks is not None
            trades.append((event["sequence"], ticks))
            assert (event["trade_number"], event["trade_id"]) == (len(trades), event["sequence"]), event

    def _check_no_trigger_was_passed_over(self) -> None:
        """An order still waits only if no trade since its acceptance triggers it, or if it is in the queue."""
        for symbol, market in self.state.markets.items():
            for order in market.waiting:
                since = self.accepted[order.order_id]
                passed = [price for sequence, price in self.trades.get(symbol, []) if sequence > since]
                extremes = (max(passed), min(passed)) if passed else ()
                was_triggered = any(order.is_triggered_by(price) for price in extremes)
                assert was_triggered == (order in self.state.queue), order

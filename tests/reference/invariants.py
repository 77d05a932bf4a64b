"""What holds between commands, whatever they were."""

from tests.reference.forms import Event
from tests.reference.plain_decimal import INT64_MAX, parse, steps
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
        expected = order.hold
        if order.partner is not None and order.is_waiting:
            expected = max(0, expected - order.partner.hold)  # what it needs beyond the limit leg
        assert order.held == expected, order
        if expected:
            key = (order.account, order.locked_asset)
            held[key] = held.get(key, 0) + expected
    state.funds.check_invariants(held)


def _check_books(state: State) -> None:
    """No book is crossed; each open order is in its book, or waits outside."""
    found = 0
    for market in state.markets.values():
        bid, ask = market.book.best_price("buy"), market.book.best_price("sell")
        assert bid is None or ask is None or bid < ask, (bid, ask)
        for orders, waits in (
            (market.book.orders("buy"), False),
            (market.book.orders("sell"), False),
            (market.waiting, True),
        ):
            for order in orders:
                assert state.open[order.order_id] is order, order
                assert order.is_waiting == waits, order
                found += 1
    assert found == len(state.open), (found, len(state.open))


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


NO_TRADE = (INT64_MAX, 0)


class Watch:
    """Reads the events of each command, and so finds what the state alone does not tell."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.trade_numbers: dict[str, int] = {}  # by symbol
        self.passed: dict[str, dict[int, tuple[int, int]]] = {}  # by symbol and waiting order: lowest, highest price
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
        if event["event"] == "order_accepted" and event["trigger_price"] is not None:
            self.passed.setdefault(event["symbol"], {})[event["order_id"]] = NO_TRADE
        if event["event"] == "trade":
            self._read_trade(event)

    def _read_trade(self, event: Event) -> None:
        symbol = event["symbol"]
        self.trade_numbers[symbol] = self.trade_numbers.get(symbol, 0) + 1
        assert (event["trade_number"], event["trade_id"]) == (self.trade_numbers[symbol], event["sequence"]), event
        price = parse(event["price"])
        assert price is not None
        ticks = steps(price, self.state.markets[symbol].instrument.tick_size)
        assert ticks is not None
        passed = self.passed.setdefault(symbol, {})
        for order_id, (lowest, highest) in passed.items():
            passed[order_id] = (min(lowest, ticks), max(highest, ticks))

    def _check_no_trigger_was_passed_over(self) -> None:
        """An order still waits only if no trade since its acceptance triggers it, or if it is in the queue."""
        for symbol, market in self.state.markets.items():
            known = self.passed.get(symbol, {})
            self.passed[symbol] = {order.order_id: known[order.order_id] for order in market.waiting}
            for order in market.waiting:
                extremes = known[order.order_id]
                was_triggered = extremes != NO_TRADE and any(order.is_triggered_by(price) for price in extremes)
                assert was_triggered == (order in self.state.queue), order

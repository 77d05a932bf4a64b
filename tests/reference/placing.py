"""Commands about orders: place, cancel, replace. Each returns the reject reason or None."""

import dataclasses

from tests.reference import forms
from tests.reference.admission import Case
from tests.reference.commands import Cancel, CancelAll, PlaceOco, PlaceOrder, Replace
from tests.reference.matching import Matching
from tests.reference.open_orders import OpenOrders
from tests.reference.orders import Order
from tests.reference.reckoning import funds_needed
from tests.reference.state import State


class Placing:
    def __init__(self, state: State, orders: OpenOrders, matching: Matching) -> None:
        self.state = state
        self.orders = orders
        self.matching = matching

    # One order

    def place_order(self, command: PlaceOrder) -> str | None:
        order = self._new_order(command)
        reason = Case(self.state, order).refusal()
        if reason is not None:
            return reason
        self._accept(order, funds_needed(self.state, order, banded=True))
        if order.is_waiting:
            self.orders.wait(order)
        else:
            self.matching.match(order, banded=order.price is None)
        return None

    def _new_order(self, command: PlaceOrder) -> Order:
        return Order(
            order_id=self.state.journal.command_count,
            account=command.account,
            instrument=command.instrument,
            side=command.side,
            order_type=command.order_type,
            price=command.price,
            quantity=command.quantity,
            remaining=command.quantity,
            quote_left=command.quote_quantity,
            time_in_force=command.time_in_force,
            post_only=command.post_only,
            self_trade_prevention=command.self_trade_prevention,
            client_order_id=command.client_order_id,
            trigger_price=command.trigger_price,
            visible_quantity=command.visible_quantity,
        )

    def _accept(self, order: Order, amount: int) -> None:
        sequence = self.state.journal.emit("order_accepted", **forms.accepted(order))
        self.orders.set_hold(sequence, order, amount)

    # One cancels the other

    def place_oco(self, command: PlaceOco) -> str | None:
        """Returns the reason for the second command sequence; the first one's is told here."""
        journal = self.state.journal
        limit, stop = self._legs(command)
        reason = Case(self.state, limit).refusal() or Case(self.state, stop, leg=limit).refusal()
        if reason is not None:
            return self.refuse_oco(reason)
        self._accept(limit, limit.hold)
        self.orders.rest(limit)
        journal.begin_second_leg()
        self._accept(stop, max(0, stop.hold - limit.hold))
        self.orders.wait(stop)
        limit.partner, stop.partner = stop, limit
        return None

    def refuse_oco(self, reason: str) -> str:
        self.state.journal.emit("rejected", command="oco", reason=reason)
        self.state.journal.begin_second_leg()
        return "previous_refused"

    def _legs(self, command: PlaceOco) -> tuple[Order, Order]:
        list_id = self.state.journal.command_count
        limit = Order(
            order_id=list_id,
            account=command.account,
            instrument=command.instrument,
            side=command.side,
            order_type="limit",
            price=command.price,
            quantity=command.quantity,
            remaining=command.quantity,
            quote_left=None,
            time_in_force="gtc",
            post_only=True,
            self_trade_prevention=command.self_trade_prevention,
            client_order_id=command.client_order_id,
            order_list_id=list_id,
        )
        stop = dataclasses.replace(
            limit,
            order_id=list_id + 1,
            order_type="stop_loss" if command.stop_price is None else "stop_loss_limit",
            price=command.stop_price,
            time_in_force=command.stop_time_in_force,
            post_only=False,
            client_order_id=command.stop_client_order_id,
            trigger_price=command.trigger_price,
        )
        return limit, stop

    # Open orders

    def cancel(self, command: Cancel) -> str | None:
        order = self._find(command)
        if order is None:
            return "unknown_order"
        if self.state.market(order).status == "halted":
            return "instrument_halted"
        self.orders.cancel(order, "user")
        return None

    def cancel_all(self, command: CancelAll) -> str | None:
        """Each by itself, also the legs of an oco."""
        if command.symbol is not None and self.state.markets[command.symbol].status == "halted":
            return "instrument_halted"
        concerned = [
            order
            for _, order in sorted(self.state.open.items())
            if order.account == command.account
            and command.symbol in (None, order.instrument.symbol)
            and self.state.market(order).status != "halted"
        ]
        cancelled = concerned[: self.state.limits.cancelled]
        for order in cancelled:
            if order.partner is not None and not order.is_waiting and order.partner not in cancelled:
                self.orders.keep_partner_whole(order)
            self.orders.cancel_alone(order, "user")
        self.state.journal.emit(
            "orders_cancelled", account=command.account, symbol=command.symbol, count=len(cancelled)
        )
        return None

    def replace(self, command: Replace) -> str | None:
        order = self._find(command)
        if order is None:
            return "unknown_order"
        if order.is_waiting or order.partner is not None:
            return "not_replaceable"
        traded = order.traded_lots
        lots = command.quantity - traded if command.is_total else command.quantity
        name = command.new_client_order_id
        wanted = dataclasses.replace(
            order,
            price=command.price,
            remaining=lots,
            quantity=traded + lots,
            client_order_id=order.client_order_id if name is None else name,
        )
        case = Case(self.state, wanted, replaced=order)
        reason = case.refusal()
        if reason is not None:
            return reason
        keeps_place = case.keeps_place
        sequence = self.state.journal.emit("order_replaced", **forms.replaced(wanted, keeps_place))
        if not keeps_place:
            self.orders.remove(order)
            order.client_order_id = wanted.client_order_id
        elif name is not None:
            self.orders.rename(order, name)
        order.price, order.remaining, order.quantity = command.price, lots, traded + lots
        order.shown = min(order.shown, lots)
        self.orders.set_hold(sequence, order, order.hold)
        if not keeps_place:
            self.matching.match(order, banded=False)
        return None

    def _find(self, command: Cancel | Replace) -> Order | None:
        """The open order that a command names, if it belongs to the account and instrument."""
        if command.client_order_id is not None:
            return self.state.namesake(command.account, command.symbol, command.client_order_id)
        order = self.state.open.get(command.order_id or 0)
        if order is None or order.account != command.account or order.instrument.symbol != command.symbol:
            return None
        return order

"""The events of user data as JSON objects, in the forms of Binance's user data streams."""

from collections.abc import Callable, Sequence

from gateway import names
from gateway.model.instruments import Instrument, amount_text
from gateway.model.records import Balance, Order, OrderChange, OrderList, Transfer
from gateway.orders import forms
from matching.core.codes import EventKind, Reason

Time = Callable[[int], int]
"""From nanoseconds to the unit that the subscriber wants."""

_EXECUTIONS = {
    EventKind.ORDER_ACCEPTED: "NEW",
    EventKind.ORDER_TRIGGERED: "NEW",
    EventKind.ORDER_REPLACED: "REPLACED",
    EventKind.TRADE: "TRADE",
}


def execution_report(
    change: OrderChange, order: Order, instrument: Instrument, time_ns: int, time: Time
) -> dict[str, object]:
    """One event of an order. `order` is that of the change, as traders are told of it; `time_ns` the command's."""
    fill, is_cancel = change.fill, _is_cancel(change)
    document: dict[str, object] = {
        "e": "executionReport",
        "E": time(time_ns),
        "s": instrument.symbol,
        "c": change.request_name if is_cancel and change.request_name else order.client_order_id,
        "S": order.side.name,
        "o": names.order_type(order),
        "f": names.time_in_force(order),
        "q": instrument.quantity_text(forms.original_quantity(order)),
        "p": instrument.price_text(order.price or 0),
        "P": instrument.price_text(order.trigger_price or 0),
        "F": instrument.quantity_text(order.visible_quantity or 0),
        "g": forms.list_id(order),
        "C": order.client_order_id if is_cancel else change.earlier_name,
        "x": execution(change, order),
        "X": names.status(order),
        "r": "NONE",
        "i": order.order_id,
        "l": instrument.quantity_text(fill.quantity if fill else 0),
        "z": instrument.quantity_text(order.filled),
        "L": instrument.price_text(fill.price if fill else 0),
        "n": forms.commission(fill, instrument) if fill else "0",
        "N": forms.commission_asset(fill, instrument) if fill else None,
        "T": time(time_ns),
        "t": fill.trade_number if fill else -1,
        "I": change.event.sequence,
        "w": order.is_open and order.working_at_ns is not None,
        "m": fill is not None and fill.is_maker,
        "M": False,
        "O": time(order.placed_at_ns),
        "Z": instrument.quote_text(order.filled_quote),
        "Y": instrument.quote_text(fill.quote_amount if fill else 0),
        "Q": instrument.quote_text(order.quote_quantity or 0),
        "V": order.self_trade_prevention.name,
    }
    if order.working_at_ns is not None:
        document["W"] = time(order.working_at_ns)
    if order.met_order_id is not None:
        document |= _prevention(change, order, instrument)
    return document


def execution(change: OrderChange, order: Order) -> str:
    """The execution type: what has happened."""
    kind = EventKind(change.event.kind)
    if kind in _EXECUTIONS:
        return _EXECUTIONS[kind]
    if order.reason == Reason.SELF_TRADE:
        return "TRADE_PREVENTION"
    return "CANCELED" if order.reason == Reason.USER else "EXPIRED"


def list_status(found: OrderList, is_open: bool, instrument: Instrument, time_ns: int, time: Time) -> dict[str, object]:
    """`is_open`: both legs were open after the command."""
    return {
        "e": "listStatus",
        "E": time(time_ns),
        "s": instrument.symbol,
        "g": found.order_list_id,
        "c": "OCO",
        "l": "EXEC_STARTED" if is_open else "ALL_DONE",
        "L": "EXECUTING" if is_open else "ALL_DONE",
        "r": "NONE",
        "C": found.list_client_order_id,
        "T": time(time_ns),
        "O": [{"s": instrument.symbol, "i": leg.order_id, "c": leg.client_order_id} for leg in found.orders],
    }


def account_position(balances: Sequence[Balance], time_ns: int, time: Time) -> dict[str, object]:
    """The balances that a command has changed."""
    return {
        "e": "outboundAccountPosition",
        "E": time(time_ns),
        "u": time(time_ns),
        "B": [
            {
                "a": balance.asset.symbol,
                "f": amount_text(balance.available, balance.asset),
                "l": amount_text(balance.locked, balance.asset),
            }
            for balance in balances
        ],
    }


def balance_update(transfer: Transfer, time_ns: int, time: Time) -> dict[str, object]:
    return {
        "e": "balanceUpdate",
        "E": time(time_ns),
        "a": transfer.asset.symbol,
        "d": amount_text(transfer.amount, transfer.asset),
        "T": time(time_ns),
    }


def _is_cancel(change: OrderChange) -> bool:
    return change.event.kind == EventKind.ORDER_CANCELLED and change.event.reason == Reason.USER


def _prevention(change: OrderChange, order: Order, instrument: Instrument) -> dict[str, object]:
    prevented = instrument.quantity_text(order.prevented_quantity)
    return {
        "v": change.event.sequence,
        "A": prevented,
        "B": prevented,
        "u": forms.NO_LIST,
        "U": order.met_order_id,
    }

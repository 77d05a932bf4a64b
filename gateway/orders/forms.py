"""Orders, fills and lists as JSON objects, in the forms of Binance's answers."""

from collections.abc import Callable, Sequence

from gateway import names
from gateway.model.instruments import Instrument
from gateway.model.records import Amendment, Fill, Order, OrderList
from gateway.orders.placing import ResponseType

Time = Callable[[int], int]
"""From nanoseconds to the unit that the client wants."""

NO_LIST = -1


def new_order(
    order: Order, instrument: Instrument, fills: Sequence[Fill], response_type: ResponseType, time: Time
) -> dict[str, object]:
    """The answer to a new order."""
    document: dict[str, object] = {
        "symbol": instrument.symbol,
        "orderId": order.order_id,
        "orderListId": list_id(order),
        "clientOrderId": order.client_order_id,
        "transactTime": time(order.updated_at_ns),
    }
    if response_type is ResponseType.ACK:
        return document
    document |= _values(order, instrument)
    document["workingTime"] = working_time(order, time)
    document["selfTradePreventionMode"] = order.self_trade_prevention.name
    document |= _prevention(order, instrument)
    if response_type is ResponseType.FULL:
        document["fills"] = [_short_fill(fill, instrument) for fill in fills]
    return document


def cancelled(order: Order, instrument: Instrument, cancel_name: str, time: Time) -> dict[str, object]:
    """The answer to a cancel."""
    return {
        "symbol": instrument.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": list_id(order),
        "clientOrderId": cancel_name,
        "transactTime": time(order.updated_at_ns),
        **_values(order, instrument),
        "selfTradePreventionMode": order.self_trade_prevention.name,
        **_prevention(order, instrument),
    }


def amended(found: Order, instrument: Instrument, earlier_name: str, time: Time) -> dict[str, object]:
    """The order in the answer to an amendment."""
    return {
        "symbol": instrument.symbol,
        "orderId": found.order_id,
        "orderListId": list_id(found),
        "origClientOrderId": earlier_name,
        "clientOrderId": found.client_order_id,
        "price": instrument.price_text(found.price or 0),
        "qty": instrument.quantity_text(original_quantity(found)),
        "executedQty": instrument.quantity_text(found.filled),
        "preventedQty": instrument.quantity_text(found.prevented_quantity),
        "quoteOrderQty": instrument.quote_text(0),
        "cumulativeQuoteQty": instrument.quote_text(found.filled_quote),
        "status": names.status(found),
        "timeInForce": names.time_in_force(found),
        "type": names.order_type(found),
        "side": found.side.name,
        "workingTime": working_time(found, time),
        "selfTradePreventionMode": found.self_trade_prevention.name,
    }


def order(found: Order, instrument: Instrument, time: Time) -> dict[str, object]:
    """The answer to a query."""
    values = _values(found, instrument)
    values.setdefault("stopPrice", instrument.price_text(0))
    values.setdefault("icebergQty", instrument.quantity_text(0))
    return {
        "symbol": instrument.symbol,
        "orderId": found.order_id,
        "orderListId": list_id(found),
        "clientOrderId": found.client_order_id,
        **values,
        "time": time(found.placed_at_ns),
        "updateTime": time(found.updated_at_ns),
        "isWorking": found.working_at_ns is not None,
        "workingTime": working_time(found, time),
        "selfTradePreventionMode": found.self_trade_prevention.name,
        **_prevention(found, instrument),
    }


def fill(found: Fill, instrument: Instrument, time: Time) -> dict[str, object]:
    """A row of myTrades."""
    return {
        "symbol": instrument.symbol,
        "id": found.trade_number,
        "orderId": found.order_id,
        "orderListId": NO_LIST if found.order_list_id is None else found.order_list_id,
        "price": instrument.price_text(found.price),
        "qty": instrument.quantity_text(found.quantity),
        "quoteQty": instrument.quote_text(found.quote_amount),
        "commission": commission(found, instrument),
        "commissionAsset": commission_asset(found, instrument),
        "time": time(found.time_ns),
        "isBuyer": not found.side,
        "isMaker": found.is_maker,
        "isBestMatch": True,
    }


def amendment(found: Amendment, instrument: Instrument, time: Time) -> dict[str, object]:
    """A row of order/amendments."""
    return {
        "symbol": instrument.symbol,
        "orderId": found.order_id,
        "executionId": found.sequence,
        "origClientOrderId": found.old_name,
        "newClientOrderId": found.new_name,
        "origQty": instrument.quantity_text(found.old_quantity),
        "newQty": instrument.quantity_text(found.new_quantity),
        "time": time(found.time_ns),
    }


def prevented_match(found: Order, met: Order | None, instrument: Instrument, time: Time) -> dict[str, object]:
    """An order that self-trade prevention cancelled when it met `met`. The later order is the taker."""
    met_id = found.met_order_id or 0
    is_taker = found.order_id > met_id
    maker, taker = (met, found) if is_taker else (found, met)
    return {
        "symbol": instrument.symbol,
        "preventedMatchId": found.updated_sequence,
        "takerOrderId": found.order_id if is_taker else met_id,
        "makerSymbol": instrument.symbol,
        "makerOrderId": met_id if is_taker else found.order_id,
        "tradeGroupId": NO_LIST,
        "selfTradePreventionMode": (taker or found).self_trade_prevention.name,
        "price": instrument.price_text((maker and maker.price) or 0),
        f"{'taker' if is_taker else 'maker'}PreventedQuantity": instrument.quantity_text(found.prevented_quantity),
        "transactTime": time(found.updated_at_ns),
    }


def order_list(found: OrderList, instrument: Instrument, time: Time) -> dict[str, object]:
    """An order list without the reports of its orders."""
    return {
        "orderListId": found.order_list_id,
        "contingencyType": "OCO",
        "listStatusType": "EXEC_STARTED" if found.is_open else "ALL_DONE",
        "listOrderStatus": "EXECUTING" if found.is_open else "ALL_DONE",
        "listClientOrderId": found.list_client_order_id,
        "transactionTime": time(found.placed_at_ns),
        "symbol": instrument.symbol,
        "orders": [
            {"symbol": instrument.symbol, "orderId": leg.order_id, "clientOrderId": leg.client_order_id}
            for leg in found.orders
        ],
    }


def list_id(found: Order) -> int:
    return NO_LIST if found.order_list_id is None else found.order_list_id


def working_time(found: Order, time: Time) -> int:
    return -1 if found.working_at_ns is None else time(found.working_at_ns)


def commission(found: Fill, instrument: Instrument) -> str:
    """The fee is in what the account receives."""
    return instrument.quote_text(found.fee) if found.side else instrument.base_text(found.fee)


def commission_asset(found: Fill, instrument: Instrument) -> str:
    return (instrument.quote if found.side else instrument.base).symbol


def original_quantity(found: Order) -> int:
    """Lots. An order by quote quantity has what it traded."""
    return found.filled if found.quantity is None else found.quantity


def _values(found: Order, instrument: Instrument) -> dict[str, object]:
    values: dict[str, object] = {
        "price": instrument.price_text(found.price or 0),
        "origQty": instrument.quantity_text(original_quantity(found)),
        "executedQty": instrument.quantity_text(found.filled),
        "origQuoteOrderQty": instrument.quote_text(found.quote_quantity or 0),
        "cummulativeQuoteQty": instrument.quote_text(found.filled_quote),
        "status": names.status(found),
        "timeInForce": names.time_in_force(found),
        "type": names.order_type(found),
        "side": found.side.name,
    }
    if found.trigger_price is not None:
        values["stopPrice"] = instrument.price_text(found.trigger_price)
    if found.visible_quantity is not None:
        values["icebergQty"] = instrument.quantity_text(found.visible_quantity)
    return values


def _prevention(found: Order, instrument: Instrument) -> dict[str, object]:
    """What self-trade prevention cancelled."""
    if found.met_order_id is None:
        return {}
    return {
        "preventedMatchId": found.updated_sequence,
        "preventedQuantity": instrument.quantity_text(found.prevented_quantity),
    }


def _short_fill(found: Fill, instrument: Instrument) -> dict[str, object]:
    return {
        "price": instrument.price_text(found.price),
        "qty": instrument.quantity_text(found.quantity),
        "commission": commission(found, instrument),
        "commissionAsset": commission_asset(found, instrument),
        "tradeId": found.trade_number,
    }

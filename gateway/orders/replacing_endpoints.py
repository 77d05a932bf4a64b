"""The endpoints that change an order: cancel it and place another one, or reduce its quantity."""

from typing import NamedTuple

from gateway import names
from gateway.model.instruments import Instrument
from gateway.model.records import Order
from gateway.orders import cancelling_endpoints, filters, forms, placing
from gateway.orders.cancelling_endpoints import NamedOrder, cancelled_document
from gateway.orders.desk import Desk
from gateway.orders.entry import Outcome
from gateway.orders.placing import NewOrder
from gateway.orders.placing_endpoints import placed_document
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import NAME
from gateway.rest.route import Request, Response, Route, Security
from matching.client.edge import Encoded, joined
from matching.core.codes import CommandFlag, CommandKind, EventKind, Reason
from matching.core.texts import signed, text_hash

_CANCEL_REPLACE = placing.PARAMETERS | {
    "cancelReplaceMode",
    "cancelNewClientOrderId",
    "cancelOrigClientOrderId",
    "cancelOrderId",
    "cancelRestrictions",
    "orderRateLimitExceededMode",
}
_AMEND = frozenset({"symbol", "orderId", "origClientOrderId", "newClientOrderId", "newQty"})
_STOP_ON_FAILURE = "STOP_ON_FAILURE"
_MODES = (_STOP_ON_FAILURE, "ALLOW_FAILURE")
_SUCCESS, _FAILURE, _NOT_ATTEMPTED = "SUCCESS", "FAILURE", "NOT_ATTEMPTED"


class _Half(NamedTuple):
    """What became of the cancel or of the new order."""

    result: str
    response: object


class ReplacingEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        replace, amend = "/api/v3/order/cancelReplace", "/api/v3/order/amend/keepPriority"
        return [
            Route("POST", replace, self.cancel_replace, 1, Security.TRADE, _CANCEL_REPLACE),
            Route("PUT", amend, self.amend, 1, Security.TRADE, _AMEND),
        ]

    async def cancel_replace(self, request: Request) -> Response:
        parameters, account = request.parameters, request.account
        instrument = self._desk.instrument(parameters)
        mode = parameters.text("cancelReplaceMode")
        if mode not in _MODES:
            raise errors.invalid("cancelReplaceMode")
        stops = mode == _STOP_ON_FAILURE
        named = NamedOrder.read(parameters, "cancelOrderId", "cancelOrigClientOrderId")
        cancel_name = parameters.optional_text("cancelNewClientOrderId", NAME) or placing.generated_name()
        new = placing.read(parameters, instrument, account, requires_previous=stops)
        filters.check(new.encoded, instrument, self._desk.model.last_price(instrument.id))
        try:
            await cancelling_endpoints.check(self._desk, parameters, account, instrument, named)
        except ApiError as error:
            if error.code != names.CANCEL:
                raise
            return await self._place_only(request, new, _Half(_FAILURE, error.body), stops)
        cancel = cancelling_endpoints.command(account, instrument, named, cancel_name)
        cancelled, placed = await self._desk.submit(request, [cancel], [new.encoded])
        if cancelled.refused is None:
            document = await cancelled_document(self._desk, request, instrument, cancelled, cancel_name)
            first = _Half(_SUCCESS, document)
        else:
            first = _Half(_FAILURE, names.refusal(cancelled.refused, names.CANCEL).body)
        return _answer(first, await self._new_half(request, new, placed))

    async def _place_only(self, request: Request, new: NewOrder, first: _Half, stops: bool) -> Response:
        """The new order where the cancel was refused before the engine was asked."""
        if stops:
            return _answer(first, _Half(_NOT_ATTEMPTED, None))
        (placed,) = await self._desk.submit(request, [new.encoded])
        return _answer(first, await self._new_half(request, new, placed))

    async def _new_half(self, request: Request, new: NewOrder, placed: Outcome) -> _Half:
        if placed.refused is None:
            return _Half(_SUCCESS, placed_document(self._desk, request, new, placed))
        if placed.refused == Reason.PREVIOUS_REFUSED:
            return _Half(_NOT_ATTEMPTED, None)
        return _Half(_FAILURE, names.refusal(placed.refused, names.NEW_ORDER).body)

    async def amend(self, request: Request) -> Response:
        parameters, account = request.parameters, request.account
        instrument = self._desk.instrument(parameters)
        named = NamedOrder.read(parameters)
        quantity = placing.lots(parameters, "newQty", instrument)
        new_name = parameters.optional_text("newClientOrderId", NAME) or placing.generated_name()
        order = await self._amendable(account, instrument, named)
        if quantity == order.quantity:
            raise ApiError(names.AMEND, "The requested action would change no state; rejecting")
        if order.quantity is not None and quantity > order.quantity:
            raise ApiError(names.AMEND, "Order amend (quantity increase) is not supported.")
        keeps_name = new_name == order.client_order_id
        command = _amend_command(order, quantity, "" if keeps_name else new_name)
        (outcome,) = await self._desk.submit(request, [command])
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.AMEND)
        event = next(one for one in outcome.events if one.kind == EventKind.ORDER_REPLACED)
        found = await self._desk.model.order(account, instrument.id, order_id=order.order_id)
        amended = found or order
        return Response(
            {
                "transactTime": request.time(amended.updated_at_ns),
                "executionId": event.sequence,
                "amendedOrder": forms.amended(amended, instrument, order.client_order_id, request.time),
            }
        )

    async def _amendable(self, account: int, instrument: Instrument, named: NamedOrder) -> Order:
        """The open order. Raises ApiError."""
        self._desk.model.check_ready()
        order = await self._desk.model.order(
            account, instrument.id, order_id=named.order_id, client_order_id=named.client_order_id
        )
        if order is None or not order.is_open:
            raise names.refusal(Reason.UNKNOWN_ORDER, names.AMEND)
        if order.price is None or order.working_at_ns is None:
            raise names.refusal(Reason.NOT_REPLACEABLE, names.AMEND)
        return order


def _amend_command(order: Order, quantity: int, new_name: str) -> Encoded:
    """The replace that keeps the order's price and place. `new_name`: "" if it keeps its name."""
    flags = CommandFlag.TOTAL_QUANTITY | (CommandFlag.NEW_NAME if new_name else 0)
    return Encoded(
        CommandKind.REPLACE,
        order.instrument_id,
        joined("", new_name),
        flags=int(flags),
        account=order.account,
        price=order.price or 0,
        quantity=quantity,
        amount=signed(text_hash(new_name.encode("ascii"))),
        order_id=order.order_id,
    )


def _answer(cancelled: _Half, placed: _Half) -> Response:
    data = {
        "cancelResult": cancelled.result,
        "newOrderResult": placed.result,
        "cancelResponse": cancelled.response,
        "newOrderResponse": placed.response,
    }
    successes = (cancelled.result, placed.result).count(_SUCCESS)
    if successes == 2:
        return Response(data)
    if successes == 1:
        raise ApiError(-2021, "Order cancel-replace partially failed.", status=409, data=data)
    raise ApiError(-2022, "Order cancel-replace failed.", data=data)

"""The endpoints that cancel orders."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway import names
from gateway.model.instruments import Instrument
from gateway.model.records import Order, OrderList
from gateway.orders import forms, placing
from gateway.orders.desk import Desk
from gateway.orders.entry import Outcome
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import NAME, Parameters
from gateway.rest.route import Request, Response, Route, Security
from matching.client.edge import Encoded, joined
from matching.core.codes import CommandKind, EventKind, Reason

_PARAMETERS = frozenset({"symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"})
_RESTRICTIONS = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}


@dataclass(frozen=True, slots=True)
class NamedOrder:
    """An order as a request names it: by its id, by the client's name, or by both."""

    order_id: int | None
    client_order_id: str | None

    @classmethod
    def read(cls, parameters: Parameters, by_id: str = "orderId", by_name: str = "origClientOrderId") -> "NamedOrder":
        """Raises ApiError."""
        named = cls(parameters.optional_integer(by_id), parameters.optional_text(by_name, NAME))
        if named.order_id is None and named.client_order_id is None:
            raise errors.missing_either(by_name, by_id)
        return named


class CancellingEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("DELETE", "/api/v3/order", self.cancel, 1, Security.TRADE, _PARAMETERS),
            Route("DELETE", "/api/v3/openOrders", self.cancel_all, 1, Security.TRADE, frozenset({"symbol"})),
        ]

    async def cancel(self, request: Request) -> Response:
        parameters, account = request.parameters, request.account
        instrument = self._desk.instrument(parameters)
        named = NamedOrder.read(parameters)
        cancel_name = parameters.optional_text("newClientOrderId", NAME) or placing.generated_name()
        await check(self._desk, parameters, account, instrument, named)
        (outcome,) = await self._desk.submit(request, [command(account, instrument, named, cancel_name)])
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.CANCEL)
        return Response(await cancelled_document(self._desk, request, instrument, outcome, cancel_name))

    async def cancel_all(self, request: Request) -> Response:
        account, instrument = request.account, self._desk.instrument(request.parameters)
        (outcome,) = await self._desk.submit(request, [Encoded(CommandKind.CANCEL_ALL, instrument.id, account=account)])
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.CANCEL)
        cancelled = [
            event.order_id
            for event in outcome.events
            if event.kind == EventKind.ORDER_CANCELLED and event.reason == Reason.USER and event.account == account
        ]
        if not cancelled:
            raise names.refusal(Reason.UNKNOWN_ORDER, names.CANCEL)
        cancel_name, model = placing.generated_name(), self._desk.model
        found = [await model.order(account, instrument.id, order_id=one) for one in cancelled]
        return Response(await self._all_documents(request, instrument, cancel_name, [one for one in found if one]))

    async def _all_documents(
        self, request: Request, instrument: Instrument, cancel_name: str, orders: Sequence[Order]
    ) -> list[dict[str, object]]:
        """Lists come after the orders that are in none."""
        documents = [
            forms.cancelled(order, instrument, cancel_name, request.time)
            for order in orders
            if order.order_list_id is None
        ]
        for list_id in dict.fromkeys(order.order_list_id for order in orders if order.order_list_id is not None):
            found = await self._desk.model.order_list(request.account, order_list_id=list_id)
            if found is not None:
                documents.append(await list_document(self._desk, request, found, instrument, cancel_name))
        return documents


async def cancelled_document(
    desk: Desk, request: Request, instrument: Instrument, outcome: Outcome, cancel_name: str
) -> dict[str, object]:
    """The answer to a cancel that was done. Of a list it names the order that was cancelled; the other leg is, too.

    Raises ApiError if the model does not have it, so that the client asks again.
    """
    order_id = next(
        event.order_id
        for event in outcome.events
        if event.kind == EventKind.ORDER_CANCELLED and event.reason == Reason.USER
    )
    order = await desk.model.order(request.account, instrument.id, order_id=order_id)
    if order is None:
        raise errors.unknown_outcome()
    return forms.cancelled(order, instrument, cancel_name, request.time)


async def list_document(
    desk: Desk, request: Request, found: OrderList, instrument: Instrument, cancel_name: str
) -> dict[str, object]:
    """A list that was cancelled, with the reports of its orders."""
    legs = [await desk.told(leg) for leg in found.orders]
    document = forms.order_list(found, instrument, request.time)
    document["transactionTime"] = request.time(max(leg.updated_at_ns for leg in legs))
    document["orderReports"] = [forms.cancelled(leg, instrument, cancel_name, request.time) for leg in legs]
    return document


def command(account: int, instrument: Instrument, named: NamedOrder, cancel_name: str) -> Encoded:
    by_name = "" if named.order_id is not None else named.client_order_id or ""
    return Encoded(
        CommandKind.CANCEL,
        instrument.id,
        joined(by_name, cancel_name),
        account=account,
        order_id=named.order_id or 0,
    )


async def check(
    desk: Desk, parameters: Parameters, account: int, instrument: Instrument, named: NamedOrder
) -> Order | None:
    """Refuses a cancel whose two names do not fit, or that its restrictions forbid. Raises ApiError."""
    restriction = parameters.optional_text("cancelRestrictions")
    if restriction is not None and restriction not in _RESTRICTIONS:
        raise ApiError(-1145, "Invalid cancelRestrictions")
    has_both = named.order_id is not None and named.client_order_id is not None
    if restriction is None and not has_both:
        return None
    desk.model.check_ready()
    order = await desk.model.order(
        account, instrument.id, order_id=named.order_id, client_order_id=named.client_order_id
    )
    if order is None:
        raise names.refusal(Reason.UNKNOWN_ORDER, names.CANCEL)
    if restriction is not None and order.is_open and names.status(order) != _RESTRICTIONS[restriction]:
        raise ApiError(names.CANCEL, "Order was not canceled due to cancel restrictions.")
    return order

"""The endpoints that place orders."""

from gateway import names
from gateway.model.records import Order
from gateway.orders import forms, placing
from gateway.orders.desk import Desk
from gateway.orders.entry import Outcome
from gateway.orders.placing import NewOrder
from gateway.rest.route import Request, Response, Route, Security


class PlacingEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/v3/order", self.place, 1, Security.TRADE, placing.PARAMETERS),
        ]

    async def place(self, request: Request) -> Response:
        instrument = self._desk.instrument(request.parameters)
        new = placing.read(request.parameters, instrument, request.account)
        (outcome,) = await self._desk.submit(request, [new.encoded])
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.NEW_ORDER)
        return Response(await placed_document(self._desk, request, new, outcome))


async def placed_document(desk: Desk, request: Request, new: NewOrder, outcome: Outcome) -> dict[str, object]:
    """The answer to a new order that was accepted."""
    order = await placed_order(desk, new, outcome)
    fills = placing.fills(order, new.instrument, outcome.events)
    return forms.new_order(order, new.instrument, fills, new.response_type, request.time)


async def placed_order(desk: Desk, new: NewOrder, outcome: Outcome) -> Order:
    found = await desk.model.order(new.encoded.account, new.instrument.id, order_id=outcome.sequence)
    placed_at_ns = desk.model.block_time_ns if found is None else found.placed_at_ns
    return placing.placed(new.encoded, new.instrument, outcome.sequence, outcome.events, placed_at_ns)

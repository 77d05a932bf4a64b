"""The endpoints that place orders, or test whether they could be placed."""

from functools import partial

from gateway import names
from gateway.model.records import Order
from gateway.orders import filters, forms, placing
from gateway.orders.account_endpoints import NO_DISCOUNT, rates
from gateway.orders.desk import Desk
from gateway.orders.entry import Outcome
from gateway.orders.placing import NewOrder
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Response, Route, Security

_RATES = "computeCommissionRates"


class PlacingEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        tested = placing.PARAMETERS | {_RATES}
        return [
            Route("POST", "/api/v3/order", self.place, 1, Security.TRADE, placing.PARAMETERS),
            Route("POST", "/api/v3/order/test", self.test, _test_weight, Security.TRADE, tested),
        ]

    async def place(self, request: Request) -> Response:
        instrument = self._desk.instrument(request.parameters)
        new = placing.read(request.parameters, instrument, request.account)
        (outcome,) = await self._desk.submit(request, [new.encoded])
        headers = partial(self._desk.limits.headers, request.account)
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.NEW_ORDER)
        return Response(placed_document(self._desk, request, new, outcome), headers=headers)

    async def test(self, request: Request) -> Response:
        """Judges an order as far as that is possible without placing it: not its funds, not the book."""
        wants_rates = request.parameters.boolean(_RATES, default=False)
        instrument = self._desk.instrument(request.parameters)
        new = placing.read(request.parameters, instrument, request.account)
        self._desk.model.check_ready()
        filters.check(new.encoded, instrument, self._desk.model.last_price(instrument.id))
        if not wants_rates:
            return Response({})
        fees = self._desk.model.account_fees(request.account, instrument.id)
        return Response(
            {
                "standardCommissionForOrder": rates(fees.maker, fees.taker, with_sides=False),
                "specialCommissionForOrder": rates(0, 0, with_sides=False),
                "taxCommissionForOrder": rates(0, 0, with_sides=False),
                "discount": NO_DISCOUNT,
            }
        )


def placed_document(desk: Desk, request: Request, new: NewOrder, outcome: Outcome) -> dict[str, object]:
    """The answer to a new order that was accepted."""
    order = _placed_order(desk, new, outcome)
    fills = placing.fills(order, new.instrument, outcome.events)
    return forms.new_order(order, new.instrument, fills, new.response_type, request.time)


def _placed_order(desk: Desk, new: NewOrder, outcome: Outcome) -> Order:
    placed_at_ns = desk.model.placed_at_ns(outcome.sequence) or desk.model.block_time_ns
    return placing.placed(new.encoded, new.instrument, outcome.sequence, outcome.events, placed_at_ns)


def _test_weight(parameters: Parameters) -> int:
    return 20 if _RATES in parameters else 1

"""The endpoints that list an account's orders and fills."""

from gateway.model.instruments import Instrument
from gateway.orders import forms
from gateway.orders.cancelling_endpoints import NamedOrder
from gateway.orders.desk import Desk
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Response, Route, Security

_DAY_NS = 24 * 3600 * 1_000_000_000
_FIRST_IN_MICROSECONDS = 100_000_000_000_000
_LIMIT = 500
_MAX_LIMIT = 1000


class QueryEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        named = frozenset({"symbol", "orderId", "origClientOrderId"})
        page = frozenset({"symbol", "orderId", "startTime", "endTime", "limit"})
        amendments = frozenset({"symbol", "orderId", "fromExecutionId", "limit"})
        prevented = frozenset({"symbol", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"})
        return [
            Route("GET", "/api/v3/order", self.order, 4, Security.READ, named),
            Route("GET", "/api/v3/openOrders", self.open_orders, _open_weight, Security.READ, frozenset({"symbol"})),
            Route("GET", "/api/v3/allOrders", self.orders, 20, Security.READ, page),
            Route("GET", "/api/v3/myTrades", self.fills, _fills_weight, Security.READ, page | {"fromId"}),
            Route("GET", "/api/v3/order/amendments", self.amendments, 4, Security.READ, amendments),
            Route("GET", "/api/v3/myPreventedMatches", self.prevented, _prevented_weight, Security.READ, prevented),
            Route("GET", "/api/v3/myAllocations", self.allocations, 20, Security.READ, page | {"fromAllocationId"}),
        ]

    async def order(self, request: Request) -> Response:
        instrument = self._desk.instrument(request.parameters)
        named = NamedOrder.read(request.parameters)
        self._desk.model.check_ready()
        order = await self._desk.model.order(
            request.account, instrument.id, order_id=named.order_id, client_order_id=named.client_order_id
        )
        if order is None:
            raise ApiError(-2013, "Order does not exist.")
        return Response(forms.order(await self._desk.told(order), instrument, request.time))

    async def open_orders(self, request: Request) -> Response:
        instrument = self._desk.instrument(request.parameters) if "symbol" in request.parameters else None
        self._desk.model.check_ready()
        orders = await self._desk.model.open_orders(request.account, None if instrument is None else instrument.id)
        return Response([forms.order(order, self._named(order.instrument_id), request.time) for order in orders])

    async def orders(self, request: Request) -> Response:
        parameters = request.parameters
        instrument = self._desk.instrument(parameters)
        start_ns, end_ns = span(parameters)
        self._desk.model.check_ready()
        orders = await self._desk.model.orders(
            request.account,
            instrument.id,
            limit=limit(parameters),
            from_order_id=parameters.optional_integer("orderId"),
            start_ns=start_ns,
            end_ns=end_ns,
        )
        return Response([forms.order(await self._desk.told(order), instrument, request.time) for order in orders])

    async def fills(self, request: Request) -> Response:
        parameters = request.parameters
        instrument = self._desk.instrument(parameters)
        start_ns, end_ns = span(parameters)
        self._desk.model.check_ready()
        fills = await self._desk.model.fills(
            request.account,
            instrument.id,
            limit=limit(parameters),
            order_id=parameters.optional_integer("orderId"),
            from_number=parameters.optional_integer("fromId"),
            start_ns=start_ns,
            end_ns=end_ns,
        )
        return Response([forms.fill(fill, instrument, request.time) for fill in fills])

    async def amendments(self, request: Request) -> Response:
        parameters, account = request.parameters, request.account
        instrument = self._desk.instrument(parameters)
        order_id, most = parameters.integer("orderId"), limit(parameters)
        first = parameters.optional_integer("fromExecutionId", 0)
        self._desk.model.check_ready()
        found = await self._desk.model.amendments(account, instrument.id, order_id, limit=_MAX_LIMIT)
        wanted = [one for one in found if one.sequence >= first][:most]
        return Response([forms.amendment(one, instrument, request.time) for one in wanted])

    async def prevented(self, request: Request) -> Response:
        """Orders that self-trade prevention cancelled; the id of a match is the sequence of that event."""
        parameters, account = request.parameters, request.account
        instrument = self._desk.instrument(parameters)
        order_id, match_id = (parameters.optional_integer(name) for name in ("orderId", "preventedMatchId"))
        if order_id is None and match_id is None:
            raise errors.missing_either("preventedMatchId", "orderId")
        first = parameters.optional_integer("fromPreventedMatchId", 0)
        model = self._desk.model
        model.check_ready()
        if order_id is not None:
            order = await model.order(account, instrument.id, order_id=order_id)
            candidates = [order] if order is not None else []
        else:
            candidates = list(await model.orders(account, instrument.id, limit=_MAX_LIMIT))
        documents = []
        for order in candidates:
            is_asked = match_id is None or order.updated_sequence == match_id
            if order.met_order_id is not None and is_asked and order.updated_sequence >= first:
                met = await model.order(account, instrument.id, order_id=order.met_order_id)
                documents.append(forms.prevented_match(order, met, instrument, request.time))
        return Response(documents[: limit(parameters)])

    async def allocations(self, request: Request) -> Response:
        """None: no order is routed elsewhere."""
        self._desk.instrument(request.parameters)
        return Response([])

    def _named(self, identity: int) -> Instrument:
        return self._desk.model.instrument(identity)


def limit(parameters: Parameters) -> int:
    """A limit above 1000 is taken as 1000."""
    found = parameters.optional_integer("limit", _LIMIT)
    if found < 1:
        raise ApiError(-1100, "Illegal characters found in parameter 'limit'; legal range is '1 to 1000'.")
    return min(found, _MAX_LIMIT)


def span(parameters: Parameters) -> tuple[int | None, int | None]:
    """startTime and endTime in nanoseconds, which may be 24 hours apart. Raises ApiError."""
    start_ns, end_ns = (_time_ns(parameters, name) for name in ("startTime", "endTime"))
    if start_ns is not None and end_ns is not None and end_ns - start_ns > _DAY_NS:
        raise ApiError(-1127, "More than 24 hours between startTime and endTime.")
    return start_ns, end_ns


def _time_ns(parameters: Parameters, name: str) -> int | None:
    """A time is in milliseconds or, from a size on, in microseconds. An end includes its whole millisecond."""
    given = parameters.optional_integer(name)
    if given is None:
        return None
    length_ns = 1_000 if given >= _FIRST_IN_MICROSECONDS else 1_000_000
    return given * length_ns + (length_ns - 1 if name == "endTime" else 0)


def _open_weight(parameters: Parameters) -> int:
    return 6 if "symbol" in parameters else 80


def _prevented_weight(parameters: Parameters) -> int:
    return 2 if "preventedMatchId" in parameters else 20


def _fills_weight(parameters: Parameters) -> int:
    return 5 if "orderId" in parameters else 20

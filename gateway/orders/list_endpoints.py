"""The endpoints of order lists: one-cancels-other, placed in either of Binance's two forms."""

from dataclasses import dataclass
from functools import partial

from gateway import names
from gateway.model.instruments import Instrument
from gateway.model.records import OrderList
from gateway.orders import forms, placing
from gateway.orders.cancelling_endpoints import NamedOrder, command, list_document
from gateway.orders.desk import Desk
from gateway.orders.entry import Outcome
from gateway.orders.placing import ResponseType
from gateway.orders.query_endpoints import limit, span
from gateway.rest.errors import ApiError
from gateway.rest.parameters import NAME, Parameters
from gateway.rest.route import Request, Response, Route, Security
from matching.client.edge import Encoded, joined
from matching.core.codes import CommandFlag, CommandKind, OrderType, Reason, Side, TimeInForce

_LEG = (
    "Type",
    "ClientOrderId",
    "IcebergQty",
    "Price",
    "StopPrice",
    "TrailingDelta",
    "TimeInForce",
    "StrategyId",
    "StrategyType",
    "PegPriceType",
    "PegOffsetType",
    "PegOffsetValue",
)
_COMMON = frozenset({"symbol", "listClientOrderId", "side", "quantity", "newOrderRespType", "selfTradePreventionMode"})
_NEW_FORM = _COMMON | {f"{place}{name}" for place in ("above", "below") for name in _LEG}
_OLD_FORM = _COMMON | {
    "limitClientOrderId",
    "price",
    "limitStrategyId",
    "limitStrategyType",
    "limitIcebergQty",
    "trailingDelta",
    "stopClientOrderId",
    "stopPrice",
    "stopStrategyId",
    "stopStrategyType",
    "stopLimitPrice",
    "stopIcebergQty",
    "stopLimitTimeInForce",
}
_STOP_LOSS, _STOP_LOSS_LIMIT = OrderType.STOP_LOSS.name, OrderType.STOP_LOSS_LIMIT.name
_STOPS = (_STOP_LOSS, _STOP_LOSS_LIMIT)


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of the parameters of both legs, which differ between the two forms."""

    limit_name: str
    limit_price: str
    stop_name: str
    trigger_price: str
    stop_price: str
    stop_time_in_force: str
    unsupported: tuple[str, ...]

    @classmethod
    def of_places(cls, limit: str, stop: str) -> "_Names":
        """Of the new form; the limit leg is `above` or `below`, the stop leg the other one."""
        unsupported = ("IcebergQty", "TrailingDelta", "PegPriceType", "PegOffsetType", "PegOffsetValue")
        return cls(
            f"{limit}ClientOrderId",
            f"{limit}Price",
            f"{stop}ClientOrderId",
            f"{stop}StopPrice",
            f"{stop}Price",
            f"{stop}TimeInForce",
            tuple(f"{place}{name}" for place in (limit, stop) for name in unsupported),
        )


_OLD_NAMES = _Names(
    "limitClientOrderId",
    "price",
    "stopClientOrderId",
    "stopPrice",
    "stopLimitPrice",
    "stopLimitTimeInForce",
    ("limitIcebergQty", "trailingDelta", "stopIcebergQty"),
)


class ListEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        path = "/api/v3/orderList"
        named = frozenset({"symbol", "orderListId", "listClientOrderId", "newClientOrderId"})
        asked = frozenset({"orderListId", "origClientOrderId"})
        page = frozenset({"fromId", "startTime", "endTime", "limit"})
        return [
            Route("POST", f"{path}/oco", self.place, 1, Security.TRADE, _NEW_FORM),
            Route("POST", "/api/v3/order/oco", self.place_in_old_form, 1, Security.TRADE, _OLD_FORM),
            Route("DELETE", path, self.cancel, 1, Security.TRADE, named),
            Route("GET", path, self.find, 4, Security.READ, asked),
            Route("GET", "/api/v3/allOrderList", self.find_all, 20, Security.READ, page),
            Route("GET", "/api/v3/openOrderList", self.find_open, 6, Security.READ),
        ]

    async def place(self, request: Request) -> Response:
        parameters = request.parameters
        side = placing.side(parameters)
        above, below = parameters.text("aboveType"), parameters.text("belowType")
        for type_name in (above, below):
            if type_name not in names.ORDER_TYPES:
                raise ApiError(-1116, "Invalid orderType.")
            if type_name != names.LIMIT_MAKER and type_name not in _STOPS:
                raise ApiError(-1158, "Order type not supported in OCO.")
        if above == below == names.LIMIT_MAKER:
            raise ApiError(-1168, "At least one OCO order must be contingent.")
        if names.LIMIT_MAKER not in (above, below):
            raise ApiError(-1158, "Order type not supported in OCO.")
        if above == names.LIMIT_MAKER and side == Side.BUY:
            raise ApiError(-1165, "A limit order in a buy OCO must be below.")
        if below == names.LIMIT_MAKER and side == Side.SELL:
            raise ApiError(-1166, "A limit order in a sell OCO must be above.")
        if above == names.LIMIT_MAKER:
            return await self._place(request, _Names.of_places("above", "below"), below == _STOP_LOSS_LIMIT)
        return await self._place(request, _Names.of_places("below", "above"), above == _STOP_LOSS_LIMIT)

    async def place_in_old_form(self, request: Request) -> Response:
        return await self._place(request, _OLD_NAMES, "stopLimitPrice" in request.parameters)

    async def _place(self, request: Request, given: _Names, has_stop_price: bool) -> Response:
        instrument = self._desk.instrument(request.parameters)
        name = request.parameters.optional_text("listClientOrderId", NAME) or placing.generated_name()
        legs = _read_legs(request, instrument, given, name, has_stop_price)
        answers = placing.response_type(request.parameters, ResponseType.RESULT)
        (outcome,) = await self._desk.submit(request, legs)
        headers = partial(self._desk.limits.headers, request.account)
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.NEW_ORDER)
        document = await self._placed_document(request, instrument, legs, name, outcome, answers)
        return Response(document, headers=headers)

    async def _placed_document(
        self,
        request: Request,
        instrument: Instrument,
        legs: list[Encoded],
        name: str,
        outcome: Outcome,
        answers: ResponseType,
    ) -> dict[str, object]:
        list_id, account, model = outcome.sequence, request.account, self._desk.model
        found = await model.order(account, instrument.id, order_id=list_id)
        placed_at_ns = model.block_time_ns if found is None else found.placed_at_ns
        orders = [
            placing.placed(leg, instrument, list_id + at, outcome.events, placed_at_ns) for at, leg in enumerate(legs)
        ]
        placed = OrderList(list_id, name, account, instrument.id, placed_at_ns, orders)
        return {
            **forms.order_list(placed, instrument, request.time),
            "orderReports": [forms.new_order(order, instrument, (), answers, request.time) for order in orders],
        }

    async def cancel(self, request: Request) -> Response:
        parameters = request.parameters
        instrument = self._desk.instrument(parameters)
        cancel_name = parameters.optional_text("newClientOrderId", NAME) or placing.generated_name()
        found = await self._named(request, "listClientOrderId")
        if found is None or found.instrument_id != instrument.id or not found.is_open:
            raise names.refusal(Reason.UNKNOWN_ORDER, names.CANCEL)
        leg = next(order for order in found.orders if order.is_open)
        (outcome,) = await self._desk.submit(
            request, [command(request.account, instrument, NamedOrder(leg.order_id, None), cancel_name)]
        )
        if outcome.refused is not None:
            raise names.refusal(outcome.refused, names.CANCEL)
        after = await self._desk.model.order_list(request.account, order_list_id=found.order_list_id)
        return Response(await list_document(self._desk, request, after or found, instrument, cancel_name))

    async def find(self, request: Request) -> Response:
        found = await self._named(request, "origClientOrderId")
        if found is None:
            raise ApiError(-2013, "Order list does not exist.")
        return Response(self._document(found, request))

    async def find_all(self, request: Request) -> Response:
        parameters = request.parameters
        start_ns, end_ns = span(parameters)
        from_id = parameters.optional_integer("fromId")
        if from_id is not None and (start_ns is not None or end_ns is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        self._desk.model.check_ready()
        found = await self._desk.model.order_lists(
            request.account, limit=limit(parameters), from_id=from_id, start_ns=start_ns, end_ns=end_ns
        )
        return Response([self._document(one, request) for one in found])

    async def find_open(self, request: Request) -> Response:
        self._desk.model.check_ready()
        found = await self._desk.model.open_order_lists(request.account)
        return Response([self._document(one, request) for one in found])

    async def _named(self, request: Request, by_name: str) -> OrderList | None:
        named = NamedOrder.read(request.parameters, "orderListId", by_name)
        self._desk.model.check_ready()
        return await self._desk.model.order_list(
            request.account, order_list_id=named.order_id, list_client_order_id=named.client_order_id
        )

    def _document(self, found: OrderList, request: Request) -> dict[str, object]:
        return forms.order_list(found, self._desk.model.instrument(found.instrument_id), request.time)


def _read_legs(
    request: Request, instrument: Instrument, given: _Names, list_name: str, has_stop_price: bool
) -> list[Encoded]:
    """The limit leg and the stop leg. Raises ApiError."""
    parameters = request.parameters
    if any(name in parameters for name in given.unsupported):
        raise ApiError(names.NEW_ORDER, "Unsupported order combination")
    side = placing.side(parameters)
    price = placing.ticks(parameters, given.limit_price, instrument)
    trigger_price = placing.ticks(parameters, given.trigger_price, instrument)
    if (price <= trigger_price) if side == Side.SELL else (price >= trigger_price):
        raise ApiError(names.NEW_ORDER, "The relationship of the prices for the orders is not correct.")
    limit_name, stop_name = (
        parameters.optional_text(name, NAME) or placing.generated_name() for name in (given.limit_name, given.stop_name)
    )
    stop_price, time_in_force = _stop_order(parameters, instrument, given, has_stop_price)
    leg = Encoded(
        kind=CommandKind.OCO,
        instrument=instrument.id,
        text=joined(limit_name, list_name),
        side=side,
        self_trade_prevention=placing.self_trade_prevention(parameters),
        flags=int(CommandFlag.POST_ONLY),
        account=request.account,
        price=price,
        quantity=placing.lots(parameters, "quantity", instrument),
    )
    stop = leg.stop_leg(
        name=stop_name,
        order_type=OrderType.STOP_LOSS_LIMIT if has_stop_price else OrderType.STOP_LOSS,
        time_in_force=time_in_force,
        price=stop_price,
        trigger_price=trigger_price,
    )
    return [leg, stop]


def _stop_order(
    parameters: Parameters, instrument: Instrument, given: _Names, has_price: bool
) -> tuple[int, TimeInForce]:
    """Price and time in force of the stop leg; 0 and ioc for a market order."""
    placing.wanted(parameters, given.stop_price, has_price)
    placing.wanted(parameters, given.stop_time_in_force, has_price)
    if not has_price:
        return 0, TimeInForce.IOC
    time_in_force = names.TIMES_IN_FORCE.get(parameters.text(given.stop_time_in_force))
    if time_in_force is None:
        raise ApiError(-1115, "Invalid timeInForce.")
    return placing.ticks(parameters, given.stop_price, instrument), time_in_force

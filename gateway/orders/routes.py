"""All endpoints of this package."""

from gateway.limits.orders import OrderLimits
from gateway.model.queries import ReadModel
from gateway.orders.account_endpoints import AccountEndpoints
from gateway.orders.cancelling_endpoints import CancellingEndpoints
from gateway.orders.desk import Desk, Engine
from gateway.orders.list_endpoints import ListEndpoints
from gateway.orders.placing_endpoints import PlacingEndpoints
from gateway.orders.query_endpoints import QueryEndpoints
from gateway.orders.replacing_endpoints import ReplacingEndpoints
from gateway.rest.route import Route
from gateway.server.traffic import Traffic


def order_routes(model: ReadModel, engine: Engine, limits: OrderLimits, traffic: Traffic) -> list[Route]:
    desk = Desk(model, engine, limits, traffic)
    endpoints = (
        PlacingEndpoints(desk),
        CancellingEndpoints(desk),
        ReplacingEndpoints(desk),
        ListEndpoints(desk),
        QueryEndpoints(desk),
        AccountEndpoints(desk),
    )
    return [route for one in endpoints for route in one.routes()]

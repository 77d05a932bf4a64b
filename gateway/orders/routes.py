"""All endpoints of this package."""

from gateway.model.queries import ReadModel
from gateway.orders.account_endpoints import AccountEndpoints
from gateway.orders.cancelling_endpoints import CancellingEndpoints
from gateway.orders.desk import Desk, Engine
from gateway.orders.placing_endpoints import PlacingEndpoints
from gateway.orders.query_endpoints import QueryEndpoints
from gateway.rest.route import Route


def order_routes(model: ReadModel, engine: Engine) -> list[Route]:
    desk = Desk(model, engine)
    endpoints = (PlacingEndpoints(desk), CancellingEndpoints(desk), QueryEndpoints(desk), AccountEndpoints(desk))
    return [route for one in endpoints for route in one.routes()]

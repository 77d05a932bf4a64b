"""All endpoints of this package."""

from collections.abc import Callable

from gateway.market.book_endpoints import BookEndpoints
from gateway.market.courtesy_endpoints import CourtesyEndpoints
from gateway.market.exchange_info import RateLimits
from gateway.market.ticker_endpoints import TickerEndpoints
from gateway.model.queries import ReadModel
from gateway.rest.route import Route


def market_routes(model: ReadModel, limits: RateLimits, time_ns: Callable[[], int]) -> list[Route]:
    """`time_ns` returns the time of day."""
    endpoints = (BookEndpoints(model, limits, time_ns), TickerEndpoints(model, time_ns), CourtesyEndpoints(model))
    return [route for one in endpoints for route in one.routes()]

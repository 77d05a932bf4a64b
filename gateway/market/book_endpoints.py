"""Endpoints of instruments, books, trades and candles."""

from collections.abc import Callable

from gateway.market import symbols, times
from gateway.market.exchange_info import STATUSES, RateLimits, symbol_document
from gateway.market.figures import average_price_text
from gateway.model.instruments import Instrument
from gateway.model.intervals import MINUTE_NS, Interval
from gateway.model.queries import ReadModel
from gateway.model.records import Candle, Trade
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Response, Route
from matching.core.codes import Side

_DEPTH_LIMIT = 5000
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50))
_DEEPEST_WEIGHT = 250
_LIST_LIMIT = 1000
AVERAGE_MINUTES = 5
_INTERVALS = {interval.value: interval for interval in Interval}


class BookEndpoints:
    def __init__(self, model: ReadModel, limits: RateLimits, time_ns: Callable[[], int]) -> None:
        """`time_ns` returns the time of day."""
        self._model = model
        self._limits = limits
        self._time_ns = time_ns

    def routes(self) -> list[Route]:
        of_time = frozenset({"symbol", "startTime", "endTime", "limit"})
        klines = of_time | {"interval", "timeZone"}
        listed = frozenset({"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"})
        return [
            Route("GET", "/api/v3/ping", self.ping, 1),
            Route("GET", "/api/v3/time", self.time, 1),
            Route("GET", "/api/v3/exchangeInfo", self.exchange_info, 20, parameters=listed),
            Route("GET", "/api/v3/depth", self.depth, _depth_weight, parameters=frozenset({"symbol", "limit"})),
            Route("GET", "/api/v3/trades", self.trades, 25, parameters=frozenset({"symbol", "limit"})),
            Route(
                "GET",
                "/api/v3/historicalTrades",
                self.historical_trades,
                25,
                parameters=frozenset({"symbol", "limit", "fromId"}),
            ),
            Route("GET", "/api/v3/aggTrades", self.aggregate_trades, 4, parameters=of_time | {"fromId"}),
            Route("GET", "/api/v3/klines", self.klines, 2, parameters=klines),
            Route("GET", "/api/v3/uiKlines", self.klines, 2, parameters=klines),
            Route("GET", "/api/v3/avgPrice", self.average_price, 2, parameters=frozenset({"symbol"})),
        ]

    async def ping(self, request: Request) -> Response:
        return Response({})

    async def time(self, request: Request) -> Response:
        return Response({"serverTime": request.time(self._time_ns())})

    async def exchange_info(self, request: Request) -> Response:
        parameters = request.parameters
        self._model.check_ready()
        instruments, _ = symbols.some_or_all(self._model, parameters)
        status = parameters.optional_text("symbolStatus", "^(TRADING|HALT|BREAK|CANCEL_ONLY)$")
        return Response(
            {
                "timezone": "UTC",
                "serverTime": request.time(self._time_ns()),
                "rateLimits": self._limits.document(),
                "exchangeFilters": [],
                "symbols": [
                    symbol_document(one)
                    for one in instruments
                    if status in (None, STATUSES[one.status]) and _is_spot(parameters)
                ],
            }
        )

    async def depth(self, request: Request) -> Response:
        instrument = symbols.one(self._model, request.parameters)
        self._model.check_ready()
        found = self._model.depth(instrument.id, min(_limit(request.parameters, 100), _DEPTH_LIMIT))
        return Response(
            {
                "lastUpdateId": found.last_update_id,
                "bids": [levels(instrument, row) for row in found.bids],
                "asks": [levels(instrument, row) for row in found.asks],
            }
        )

    async def trades(self, request: Request) -> Response:
        instrument = symbols.one(self._model, request.parameters)
        self._model.check_ready()
        found = self._model.trades(instrument.id, limit=_list_limit(request.parameters))
        return Response([trade_document(instrument, trade, request) for trade in found])

    async def historical_trades(self, request: Request) -> Response:
        instrument = symbols.one(self._model, request.parameters)
        self._model.check_ready()
        found = self._model.trades(
            instrument.id,
            limit=_list_limit(request.parameters),
            from_number=request.parameters.optional_integer("fromId"),
        )
        return Response([trade_document(instrument, trade, request) for trade in found])

    async def aggregate_trades(self, request: Request) -> Response:
        parameters = request.parameters
        instrument = symbols.one(self._model, parameters)
        start_ns, end_ns = times.start(parameters), times.end(parameters)
        from_id = parameters.optional_integer("fromId")
        if from_id is not None and (start_ns is not None or end_ns is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        self._model.check_ready()
        found = self._model.aggregate_trades(
            instrument.id, limit=_list_limit(parameters), from_id=from_id, start_ns=start_ns, end_ns=end_ns
        )
        return Response(
            [
                {
                    "a": one.id,
                    "p": instrument.price_text(one.price),
                    "q": instrument.quantity_text(one.quantity),
                    "f": one.first_trade_number,
                    "l": one.last_trade_number,
                    "T": request.time(one.time_ns),
                    "m": one.taker_side is Side.SELL,
                    "M": True,
                }
                for one in found
            ]
        )

    async def klines(self, request: Request) -> Response:
        parameters = request.parameters
        instrument = symbols.one(self._model, parameters)
        interval = _INTERVALS.get(parameters.text("interval"))
        if interval is None:
            raise ApiError(-1120, "Invalid interval.")
        self._model.check_ready()
        found = self._model.candles(
            instrument.id,
            interval,
            limit=_list_limit(parameters),
            start_ns=times.start(parameters),
            end_ns=times.end(parameters),
            offset_ns=times.zone(parameters),
        )
        return Response([candle_row(instrument, candle, request) for candle in found])

    async def average_price(self, request: Request) -> Response:
        instrument = symbols.one(self._model, request.parameters)
        self._model.check_ready()
        now_ns = self._time_ns()
        found = self._model.ticker(instrument.id, start_ns=now_ns - AVERAGE_MINUTES * MINUTE_NS, end_ns=now_ns)
        price = average_price_text(instrument, found.volume, found.quote_volume, found.last)
        newest = self._model.trades(instrument.id, limit=1)
        closed_ns = newest[-1].time_ns if newest else now_ns
        return Response({"mins": AVERAGE_MINUTES, "price": price, "closeTime": request.time(closed_ns)})


def levels(instrument: Instrument, row: tuple[int, int]) -> list[str]:
    return [instrument.price_text(row[0]), instrument.quantity_text(row[1])]


def trade_document(instrument: Instrument, trade: Trade, request: Request) -> dict[str, object]:
    return {
        "id": trade.trade_number,
        "price": instrument.price_text(trade.price),
        "qty": instrument.quantity_text(trade.quantity),
        "quoteQty": instrument.quote_text(trade.price * trade.quantity * instrument.engine.quote_unit),
        "time": request.time(trade.time_ns),
        "isBuyerMaker": trade.taker_side is Side.SELL,
        "isBestMatch": True,
    }


def candle_row(instrument: Instrument, candle: Candle, request: Request) -> list[object]:
    return [
        request.time(candle.open_time_ns),
        instrument.price_text(candle.open),
        instrument.price_text(candle.high),
        instrument.price_text(candle.low),
        instrument.price_text(candle.close),
        instrument.quantity_text(candle.volume),
        request.time(candle.close_time_ns),
        instrument.quote_text(candle.quote_volume),
        candle.trade_count,
        instrument.quantity_text(candle.taker_buy_volume),
        instrument.quote_text(candle.taker_buy_quote_volume),
        "0",
    ]


def _is_spot(parameters: Parameters) -> bool:
    """Whether the permissions that the request names include those of this exchange. Raises ApiError."""
    named = parameters.optional_text("permissions")
    return named is None or "SPOT" in named


def _limit(parameters: Parameters, default: int) -> int:
    limit = parameters.optional_integer("limit", default)
    if limit < 1:
        raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _list_limit(parameters: Parameters) -> int:
    return min(_limit(parameters, 500), _LIST_LIMIT)


def _depth_weight(parameters: Parameters) -> int:
    try:
        limit = parameters.optional_integer("limit", 100)
    except ApiError:  # the handler refuses it
        return _DEPTH_WEIGHTS[0][1]
    return next((weight for most, weight in _DEPTH_WEIGHTS if limit <= most), _DEEPEST_WEIGHT)

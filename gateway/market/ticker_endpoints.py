"""Endpoints of tickers."""

from collections.abc import Callable, Sequence

from gateway.market import symbols, ticker_documents, times
from gateway.market.exchange_info import STATUSES
from gateway.model.instruments import Instrument
from gateway.model.intervals import DAY_NS
from gateway.model.queries import ReadModel
from gateway.model.records import Ticker
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters
from gateway.rest.route import Request, Response, Route

_MOST_SYMBOLS = 100
_SYMBOL_WEIGHT, _MOST_WEIGHT = 4, 200
_FEW_SYMBOLS = 20
_STATUSES = "^(TRADING|HALT|BREAK|CANCEL_ONLY)$"


class TickerEndpoints:
    def __init__(self, model: ReadModel, time_ns: Callable[[], int]) -> None:
        """`time_ns` returns the time of day."""
        self._model = model
        self._time_ns = time_ns

    def routes(self) -> list[Route]:
        named = frozenset({"symbol", "symbols", "symbolStatus"})
        kind = named | {"type"}
        return [
            Route("GET", "/api/v3/ticker/24hr", self.of_24_hours, _weight_24_hours, parameters=kind),
            Route("GET", "/api/v3/ticker", self.rolling, _weight_each, parameters=kind | {"windowSize"}),
            Route("GET", "/api/v3/ticker/tradingDay", self.trading_day, _weight_each, parameters=kind | {"timeZone"}),
            Route("GET", "/api/v3/ticker/price", self.price, _weight_short, parameters=named),
            Route("GET", "/api/v3/ticker/bookTicker", self.book, _weight_short, parameters=named),
        ]

    async def of_24_hours(self, request: Request) -> Response:
        is_mini = _is_mini(request.parameters)

        def document(instrument: Instrument) -> dict[str, object]:
            ticker = self._model.ticker_24h(instrument.id)
            if is_mini:
                return ticker_documents.mini(instrument, ticker, request)
            book = self._model.book_ticker(instrument.id)
            return ticker_documents.of_24_hours(instrument, ticker, book, request)

        return self._some_or_all(request, document)

    async def rolling(self, request: Request) -> Response:
        end_ns = self._time_ns()
        return self._of_window(request, end_ns - times.window(request.parameters), end_ns)

    async def trading_day(self, request: Request) -> Response:
        end_ns = self._time_ns()
        local_ns = end_ns + times.zone(request.parameters)
        return self._of_window(request, end_ns - local_ns % DAY_NS, end_ns)

    async def price(self, request: Request) -> Response:
        def document(instrument: Instrument) -> dict[str, object]:
            price = instrument.price_text(self._model.last_price(instrument.id))
            return {"symbol": instrument.symbol, "price": price}

        return self._some_or_all(request, document)

    async def book(self, request: Request) -> Response:
        return self._some_or_all(request, lambda one: ticker_documents.best(one, self._model.book_ticker(one.id)))

    def _of_window(self, request: Request, start_ns: int, end_ns: int) -> Response:
        write = ticker_documents.mini if _is_mini(request.parameters) else ticker_documents.full
        found, is_single = symbols.some(self._model, request.parameters)
        if found is None:
            raise errors.missing_either("symbol", "symbols")
        if len(found) > _MOST_SYMBOLS:
            raise ApiError(-1130, "Data sent for parameter 'symbols' is not valid.")
        self._model.check_ready()

        def document(instrument: Instrument) -> dict[str, object]:
            ticker: Ticker = self._model.ticker(instrument.id, start_ns=start_ns, end_ns=end_ns)
            return write(instrument, ticker, request)

        return _answer(request.parameters, found, is_single, document)

    def _some_or_all(self, request: Request, document: Callable[[Instrument], dict[str, object]]) -> Response:
        found, is_single = symbols.some_or_all(self._model, request.parameters)
        self._model.check_ready()
        return _answer(request.parameters, found, is_single, document)


def _answer(
    parameters: Parameters,
    instruments: Sequence[Instrument],
    is_single: bool,
    document: Callable[[Instrument], dict[str, object]],
) -> Response:
    """An object for `symbol`, otherwise a list. Raises ApiError."""
    status = parameters.optional_text("symbolStatus", _STATUSES)
    wanted = [one for one in instruments if status in (None, STATUSES[one.status])]
    if is_single and not wanted:
        raise errors.invalid_symbol()
    return Response(document(wanted[0]) if is_single else [document(one) for one in wanted])


def _is_mini(parameters: Parameters) -> bool:
    return parameters.optional_text("type", "^(FULL|MINI)$") == "MINI"


def _weight_24_hours(parameters: Parameters) -> int:
    count = symbols.count_of(parameters)
    if count is None or count > _MOST_SYMBOLS:
        return 80
    return 2 if count <= _FEW_SYMBOLS else 40


def _weight_each(parameters: Parameters) -> int:
    return min(_SYMBOL_WEIGHT * (symbols.count_of(parameters) or 1), _MOST_WEIGHT)


def _weight_short(parameters: Parameters) -> int:
    return 2 if "symbol" in parameters else 4

"""The instruments that a request names by `symbol` or `symbols`."""

from collections.abc import Sequence

from gateway.model.instruments import Instrument
from gateway.model.queries import MarketQueries
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import SYMBOL, Parameters


def one(model: MarketQueries, parameters: Parameters) -> Instrument:
    """Raises ApiError."""
    return _named(model, parameters.text("symbol", SYMBOL))


def some(model: MarketQueries, parameters: Parameters) -> tuple[Sequence[Instrument] | None, bool]:
    """The instruments that are named, None if none is; and whether it was by `symbol`. Raises ApiError."""
    symbol, symbols = parameters.optional_text("symbol", SYMBOL), parameters.texts("symbols", SYMBOL)
    if symbol is not None and symbols is not None:
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    if symbol is not None:
        return [_named(model, symbol)], True
    if symbols is None:
        return None, False
    if len(set(symbols)) < len(symbols):
        raise errors.duplicate("symbols")
    return [_named(model, name) for name in symbols], False


def some_or_all(model: MarketQueries, parameters: Parameters) -> tuple[Sequence[Instrument], bool]:
    """As `some`, but all instruments if none is named."""
    found, is_single = some(model, parameters)
    return (model.instruments() if found is None else found), is_single


def count_of(parameters: Parameters) -> int | None:
    """How many are named, for the weight of the request; None: all. Values that cannot be read count as one."""
    if "symbol" in parameters:
        return 1
    try:
        listed = parameters.texts("symbols", SYMBOL)
    except ApiError:  # the handler refuses them
        return 1
    return None if listed is None else len(listed)


def _named(model: MarketQueries, symbol: str) -> Instrument:
    instrument = model.instrument_named(symbol)
    if instrument is None:
        raise errors.invalid_symbol()
    return instrument

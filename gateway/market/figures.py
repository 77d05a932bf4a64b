"""Exact quotients of integers as decimal texts: averages and percentages."""

from gateway.model.instruments import LEAST_DECIMALS, Instrument

_PERCENT_DECIMALS = 3


def quotient_text(numerator: int, denominator: int, decimals: int) -> str:
    """numerator / denominator, rounded half away from zero."""
    sign = "-" if (numerator < 0) is not (denominator < 0) and numerator else ""
    scaled = (2 * abs(numerator) * 10**decimals // abs(denominator) + 1) // 2
    digits = str(scaled).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def percent_text(change: int, base: int) -> str:
    """change / base in percent; a base of 0 means that nothing has changed."""
    return quotient_text(100 * change, base or 1, _PERCENT_DECIMALS)


def average_price_text(instrument: Instrument, lots: int, quote_units: int, otherwise_ticks: int) -> str:
    """The average price of trades of this volume; without a volume the price `otherwise_ticks`."""
    if not lots:
        return instrument.price_text(otherwise_ticks)
    # quote_units / lots is in units of quote_unit × one tick, because notional = ticks × lots × quote_unit.
    engine = instrument.engine
    decimals = max(LEAST_DECIMALS, engine.tick.scale)
    return quotient_text(quote_units * engine.tick.mantissa, lots * engine.quote_unit * 10**engine.tick.scale, decimals)

"""Reads an instrument_update record: the values that it gives, and the command that it was made of."""

from typing import Any

from matching.core.codes import InstrumentValue, name_of
from matching.core.registry import Instrument

_HALF_BITS = 32
_LOWER_HALF = (1 << _HALF_BITS) - 1


def values_of(command: Any) -> dict[str, int]:
    """The values that an instrument_update record (layout.COMMAND) gives, by name, in the units of `Instrument`."""
    fees, limits, flags = int(command["account"]), int(command["price"]), int(command["flags"])
    places = {
        InstrumentValue.MAKER_FEE: fees & _LOWER_HALF,
        InstrumentValue.TAKER_FEE: fees >> _HALF_BITS,
        InstrumentValue.MIN_QUANTITY: int(command["quantity"]),
        InstrumentValue.MAX_QUANTITY: int(command["amount"]),
        InstrumentValue.MIN_NOTIONAL: int(command["order_id"]),
        InstrumentValue.PRICE_BAND: limits & _LOWER_HALF,
        InstrumentValue.MAX_OPEN_ORDERS: limits >> _HALF_BITS,
    }
    return {name_of(value): number for value, number in places.items() if flags & value}


def definition_of(command: Any, instrument: Instrument) -> dict[str, Any]:
    """The command of an instrument_update record, in the form of docs/semantics.md, section 3."""
    units = {"min_quantity": instrument.lot, "max_quantity": instrument.lot, "min_notional": instrument.quote.unit}
    values = {
        name: units[name].text(number) if name in units else number for name, number in values_of(command).items()
    }
    return {"command": "instrument_update", "symbol": instrument.symbol, **values}

"""What an instrument's filters say of an order, judged before the engine is asked.

The engine applies the same rules (docs/semantics.md, section 4) when the order is placed. They are judged here where an
order is only tested, and where a refusal must come before something else is done.
"""

from gateway import names
from gateway.model.instruments import Instrument
from matching.client.edge import Encoded
from matching.core.codes import AMOUNT_LIMIT, PPM, PRICED_TYPES, TRIGGER_TYPES, OrderType


def check(order: Encoded, instrument: Instrument, last_price: int) -> None:
    """Raises ApiError. `last_price` is that of the last trade in ticks, 0 if there was none."""
    limits = instrument.engine
    by_quote = order.order_type == OrderType.MARKET and not order.quantity
    if order.order_type in PRICED_TYPES and order.price <= 0:
        raise names.filter_failure("PRICE_FILTER")
    if order.order_type in TRIGGER_TYPES and order.amount <= 0:
        raise names.filter_failure("PRICE_FILTER")
    if not by_quote and not limits.min_quantity <= order.quantity <= limits.max_quantity:
        raise names.filter_failure("LOT_SIZE")
    if order.order_type != OrderType.MARKET or by_quote:
        _check_notional(order, instrument, by_quote)
    if order.order_type == OrderType.LIMIT and limits.price_band and last_price:
        lowest, highest = band(last_price, limits.price_band)
        if not lowest <= order.price <= highest:
            raise names.filter_failure("PERCENT_PRICE_BY_SIDE")


def band(last_price: int, ppm: int) -> tuple[int, int]:
    """The lowest and the highest price inside a price band (docs/semantics.md, section 5)."""
    lowest = -(-last_price * (PPM - ppm) // PPM)
    highest = last_price * (PPM + ppm) // PPM
    return min(lowest, last_price - 1), max(highest, last_price + 1)


def _check_notional(order: Encoded, instrument: Instrument, by_quote: bool) -> None:
    price = order.price if order.order_type in PRICED_TYPES else order.amount
    notional = order.amount if by_quote else price * order.quantity * instrument.engine.quote_unit
    if not instrument.engine.min_notional <= notional <= AMOUNT_LIMIT or notional <= 0:
        raise names.filter_failure("NOTIONAL")

"""The instruments of random streams."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DECIMALS = {"BTC": 8, "USD": 6, "ETH": 18, "WEI": 18, "ONE": 0}


@dataclass(frozen=True)
class Template:
    """A test instrument: definition, start price, spread of prices, usual sizes."""

    definition: Json
    middle_ticks: int
    spread_ticks: int
    usual_lots: int


def _template(symbol: str, sizes: str, limits: str, fees: tuple[int, int], shape: tuple[int, int, int]) -> Template:
    """`sizes` is tick and lot, `limits` minimum quantity, maximum quantity and minimum notional."""
    base, quote = symbol.split("-")
    tick_size, lot_size = sizes.split()
    min_quantity, max_quantity, min_notional = limits.split()
    definition = {
        "command": "instrument",
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "tick_size": tick_size,
        "lot_size": lot_size,
        "min_quantity": min_quantity,
        "max_quantity": max_quantity,
        "min_notional": min_notional,
        "maker_fee": fees[0],
        "taker_fee": fees[1],
    }
    return Template(definition, *shape)


TEMPLATES = (
    _template("BTC-USD", "0.01 0.0001", "0.0002 50 10", (1000, 2500), (2_000_000, 400, 900)),
    # 2^62 smallest units are 4.6 ETH, or 461 lots.
    _template("ETH-BTC", "0.0001 0.01", "0.01 1000 0", (0, 999), (500, 12, 6)),
    # Notionals reach 2^62 at common sizes, and fees take almost all of a trade.
    _template(
        "ONE-WEI",
        "0.000000000000000001 1",
        "1 4611686018427387904 0.000000000000000005",
        (999_999, 999_999),
        (1_500_000_000, 60, 400_000),
    ),
    _template("ETH-WEI", "0.000001 0.000001", "0.000003 1000 0.0000001", (1, 999_999), (1_000_000, 30, 60_000)),
    # Few prices, long queues.
    _template("USD-ONE", "1 1", "1 1000000 3", (100, 0), (50, 4, 40)),
)

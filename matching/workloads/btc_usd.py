"""Definitions of one plain instrument, BTC-USD: what the torture run and most tests trade."""

from typing import Any


def instrument(base: str, quote: str = "USD") -> dict[str, Any]:
    """Its symbol is BASE-QUOTE. Assets of 8 and 6 decimals make a lot 10,000 units, and a lot at one tick 1 unit."""
    return {
        "command": "instrument",
        "symbol": f"{base}-{quote}",
        "base": base,
        "quote": quote,
        "tick_size": "0.01",
        "lot_size": "0.0001",
        "min_quantity": "0.0001",
        "max_quantity": "100000",
        "min_notional": "0",
        "maker_fee": 1000,
        "taker_fee": 2000,
    }


BTC: dict[str, Any] = {"command": "asset", "symbol": "BTC", "decimals": 8}
USD: dict[str, Any] = {"command": "asset", "symbol": "USD", "decimals": 6}
BTC_USD = instrument("BTC")
DEFINITIONS = [BTC, USD, BTC_USD]

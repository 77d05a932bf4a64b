"""Instruments and accounts of the demo market, and the commands that set it up."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matching.core.registry import Registry

Command = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument, its start price in dollars, and the base amounts that makers and takers start with."""

    base: str
    base_decimals: int
    lot_size: str
    start_price: float
    maker_funds: str
    taker_funds: str

    @property
    def symbol(self) -> str:
        return f"{self.base}-{QUOTE}"

    def definition(self) -> Command:
        return {
            "command": "instrument",
            "symbol": self.symbol,
            "base": self.base,
            "quote": QUOTE,
            "tick_size": "0.01",
            "lot_size": self.lot_size,
            "min_quantity": self.lot_size,
            "max_quantity": "100000",
            "min_notional": "1",
            "maker_fee": 200,
            "taker_fee": 500,
            "price_band": 100_000,
            "max_open_orders": 200,
        }


QUOTE = "USD"
QUOTE_DECIMALS = 6
LISTINGS = (
    Listing("BTC", 8, "0.0001", 64_000.0, "500", "20"),
    Listing("ETH", 8, "0.001", 3_200.0, "10000", "400"),
    Listing("SOL", 8, "0.01", 150.0, "200000", "8000"),
)
SYMBOLS = frozenset(listing.symbol for listing in LISTINGS)
MAKERS = range(101, 107)
TAKERS = range(201, 213)
ACCOUNTS = (*MAKERS, *TAKERS)
_MAKER_DOLLARS = "50000000"
_TAKER_DOLLARS = "2000000"


def missing(registry: Registry) -> list[Command]:
    """Definitions that the engine does not have yet."""
    decimals = {QUOTE: QUOTE_DECIMALS} | {listing.base: listing.base_decimals for listing in LISTINGS}
    assets = [
        {"command": "asset", "symbol": symbol, "decimals": places}
        for symbol, places in decimals.items()
        if symbol not in registry.asset_by_symbol
    ]
    listings = (listing for listing in LISTINGS if listing.symbol not in registry.instrument_by_symbol)
    return assets + [listing.definition() for listing in listings]


def deposits(tag: str) -> Iterator[Command]:
    """Initial deposits of all accounts. `tag` makes the references unique for a run."""
    for account in ACCOUNTS:
        for asset in (QUOTE, *(listing.base for listing in LISTINGS)):
            yield deposit(account, asset, f"demo-{tag}-{account}-{asset}")


def deposit(account: int, asset: str, reference: str) -> Command:
    """The initial deposit of an account, which is repeated when the account has no funds left."""
    amount = _funds(account, asset)
    return {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": reference}


def clearing() -> Iterator[Command]:
    """Cancels the orders that an earlier run left in the books."""
    for account in ACCOUNTS:
        yield {"command": "cancel_all", "account": account}


def _funds(account: int, asset: str) -> str:
    maker = account in MAKERS
    if asset == QUOTE:
        return _MAKER_DOLLARS if maker else _TAKER_DOLLARS
    listing = next(listing for listing in LISTINGS if listing.base == asset)
    return listing.maker_funds if maker else listing.taker_funds

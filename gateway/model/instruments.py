"""Instruments as traders see them: a symbol without a dash, and values printed with fixed decimals.

The engine counts prices in ticks, quantities in lots and amounts in the asset's smallest unit. `*_text` prints them.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from matching.core.codes import InstrumentStatus
from matching.core.registry import Asset
from matching.core.registry import Instrument as EngineInstrument

LEAST_DECIMALS = 8
"""Prices, quantities and amounts are printed with at least this many decimals, as Binance does."""


@lru_cache(maxsize=16_384)
def fixed(units: int, mantissa: int, scale: int) -> str:
    """(150, 1, 2) → "1.50000000": exactly units × mantissa × 10^-scale, with max(LEAST_DECIMALS, scale) decimals.

    Remembered, because the same prices and quantities come again and again.
    """
    decimals = max(LEAST_DECIMALS, scale)
    value = units * mantissa * 10 ** (decimals - scale)
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def amount_text(units: int, asset: Asset) -> str:
    return fixed(units, 1, asset.decimals)


@dataclass(frozen=True)
class Instrument:
    """One instrument as it stands after the newest block. Its values may change later: do not keep it."""

    symbol: str
    """Base and quote without a dash, such as BTCUSD."""
    engine: EngineInstrument
    """Units, limits, fees, band: `tick`, `lot`, `min_quantity` (lots), `min_notional` (quote units), `maker_fee` (ppm),
    `price_band` (ppm, 0: none), `max_open_orders` (0: no limit), `base`, `quote`, `lot_units`, `quote_unit`."""
    status: InstrumentStatus

    @property
    def id(self) -> int:
        return self.engine.id

    @property
    def engine_symbol(self) -> str:
        """The engine's name, such as BTC-USD."""
        return self.engine.symbol

    @property
    def base(self) -> Asset:
        return self.engine.base

    @property
    def quote(self) -> Asset:
        return self.engine.quote

    @cached_property
    def price_decimals(self) -> int:
        """Decimals that a price may have."""
        return self.engine.tick.scale

    @cached_property
    def quantity_decimals(self) -> int:
        """Decimals that a quantity may have."""
        return self.engine.lot.scale

    def price_text(self, ticks: int) -> str:
        return fixed(ticks, self.engine.tick.mantissa, self.engine.tick.scale)

    def quantity_text(self, lots: int) -> str:
        return fixed(lots, self.engine.lot.mantissa, self.engine.lot.scale)

    def quote_text(self, units: int) -> str:
        """An amount of the quote asset."""
        return amount_text(units, self.quote)

    def base_text(self, units: int) -> str:
        """An amount of the base asset."""
        return amount_text(units, self.base)

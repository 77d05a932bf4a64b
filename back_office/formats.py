"""How numbers, times and hashes look on a page: exact decimals at their unit's precision, never a float."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from matching.core.decimals import Unit
from matching.core.registry import Asset, Instrument, Registry
from settlement.lookups import registry_of
from settlement.stores.base import Definition

_MAX_AGE_S = 15.0
"""An instrument's status may change without a new symbol showing up; after this long it is read again."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A decimal with every place of its unit, so that columns align; the zeros that say nothing are set back."""

    significant: str
    filling: str = ""
    sign: int = 0

    @classmethod
    def of(cls, units: int, unit: Unit, *, signed: bool = False) -> "Figure":
        shortest = unit.text(units)
        point = "." if "." not in shortest and unit.scale else ""
        filling = point + "0" * (unit.scale - len(shortest.partition(".")[2]))
        if units == 0:
            return cls("", shortest + filling)
        return cls(("+" if signed and units > 0 else "") + shortest, filling, (units > 0) - (units < 0))

    @property
    def text(self) -> str:
        return self.significant + self.filling

    def __str__(self) -> SafeString:
        """As HTML: a template asks for a value's text before it looks whether it is safe."""
        return format_html('<span class="figure">{}<i>{}</i></span>', self.significant, self.filling)


class ReferenceData:
    """Assets and instruments as the store's definitions give them, kept and read again when they may have changed."""

    def __init__(
        self, definitions: Callable[[], Iterable[Definition]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._definitions = definitions
        self._clock = clock
        self._registry = Registry()
        self._read_at: float | None = None
        self._unknown: set[str] = set()

    def forget(self) -> None:
        """Reads again with the next question, as after another store was filled."""
        self._read_at = None

    def registry(self) -> Registry:
        """Never older than _MAX_AGE_S."""
        if self._read_at is None or self._clock() - self._read_at > _MAX_AGE_S:
            self._unknown.clear()
            self._read()
        return self._registry

    def instrument(self, symbol: str) -> Instrument | None:
        found = self.registry().instrument_by_symbol.get(symbol)
        return found or (self._registry.instrument_by_symbol.get(symbol) if self._is_news(symbol) else None)

    def asset(self, symbol: str) -> Asset | None:
        found = self.registry().asset_by_symbol.get(symbol)
        return found or (self._registry.asset_by_symbol.get(symbol) if self._is_news(symbol) else None)

    def price(self, symbol: str, ticks: int) -> Figure:
        instrument = self.instrument(symbol)
        return Figure.of(ticks, instrument.tick) if instrument else Figure(f"{ticks} ticks")

    def quantity(self, symbol: str, lots: int) -> Figure:
        instrument = self.instrument(symbol)
        return Figure.of(lots, instrument.lot) if instrument else Figure(f"{lots} lots")

    def amount(self, symbol: str, units: int, *, signed: bool = False) -> Figure:
        asset = self.asset(symbol)
        return Figure.of(units, asset.unit, signed=signed) if asset else Figure(f"{units} units")

    def _is_news(self, symbol: str) -> bool:
        """Reads again for a symbol that was not there. Once until the next regular reading: one that nobody defined
        must not cost a query a row."""
        if symbol in self._unknown:
            return False
        self._unknown.add(symbol)
        self._read()
        return True

    def _read(self) -> None:
        # Built aside and put in place whole: other threads read the old one meanwhile.
        self._registry, self._read_at = registry_of(self._definitions()), self._clock()


def instant(nanoseconds: int) -> str:
    """UTC in ISO form with milliseconds, cut and not rounded."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"

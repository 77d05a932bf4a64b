"""Formatting of numbers, times and hashes on pages: exact decimals at the precision of their unit, never floats."""

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
"""Reference data older than this is read again: an instrument's status can change without a new symbol."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A decimal with all decimal places of its unit, so that columns align; `padding` is shown in a lighter colour."""

    significant: str
    padding: str = ""
    sign: int = 0

    @classmethod
    def of(cls, units: int, unit: Unit, *, signed: bool = False) -> "Figure":
        shortest = unit.text(units)
        point = "." if "." not in shortest and unit.scale else ""
        padding = point + "0" * (unit.scale - len(shortest.partition(".")[2]))
        if units == 0:
            return cls("", shortest + padding)
        return cls(("+" if signed and units > 0 else "") + shortest, padding, (units > 0) - (units < 0))

    @property
    def text(self) -> str:
        return self.significant + self.padding

    def __str__(self) -> SafeString:
        """As HTML. Templates call `str` on a value before they check whether it is safe HTML."""
        return format_html('<span class="figure">{}<i>{}</i></span>', self.significant, self.padding)


class ReferenceData:
    """Assets and instruments, cached from the store's definitions; read again when they may have changed."""

    def __init__(
        self, definitions: Callable[[], Iterable[Definition]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._definitions = definitions
        self._clock = clock
        self._registry = Registry()
        self._read_at: float | None = None
        self._unknown: set[str] = set()

    def invalidate(self) -> None:
        """Drops the cache: the next access reads the store."""
        self._read_at = None

    def registry(self) -> Registry:
        """At most _MAX_AGE_S old."""
        if self._read_at is None or self._clock() - self._read_at > _MAX_AGE_S:
            self._unknown.clear()
            self._read()
        return self._registry

    def instrument(self, symbol: str) -> Instrument | None:
        found = self.registry().instrument_by_symbol.get(symbol)
        return found or (self._registry.instrument_by_symbol.get(symbol) if self._read_again_for(symbol) else None)

    def asset(self, symbol: str) -> Asset | None:
        found = self.registry().asset_by_symbol.get(symbol)
        return found or (self._registry.asset_by_symbol.get(symbol) if self._read_again_for(symbol) else None)

    def price(self, symbol: str, ticks: int) -> Figure:
        instrument = self.instrument(symbol)
        return Figure.of(ticks, instrument.tick) if instrument else Figure(f"{ticks} ticks")

    def quantity(self, symbol: str, lots: int) -> Figure:
        instrument = self.instrument(symbol)
        return Figure.of(lots, instrument.lot) if instrument else Figure(f"{lots} lots")

    def amount(self, symbol: str, units: int, *, signed: bool = False) -> Figure:
        asset = self.asset(symbol)
        return Figure.of(units, asset.unit, signed=signed) if asset else Figure(f"{units} units")

    def _read_again_for(self, symbol: str) -> bool:
        """Reads the store again for an unknown symbol; returns whether it did.

        At most once per symbol between regular reads: an undefined symbol must not cost a query for every row.
        """
        if symbol in self._unknown:
            return False
        self._unknown.add(symbol)
        self._read()
        return True

    def _read(self) -> None:
        # The new registry replaces the old one when it is complete: other threads read the old one meanwhile.
        self._registry, self._read_at = registry_of(self._definitions()), self._clock()


def utc_time(nanoseconds: int) -> str:
    """UTC in ISO 8601 form with milliseconds, truncated."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"

"""Exact conversion between decimal strings and integer counts of a unit, without floats or rounding.

A unit (tick, lot, smallest unit of an asset) is a positive decimal, stored as `mantissa × 10^-scale`. A string that is
not a whole number of units raises an error.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)

_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_MAX_DIGITS = 64
"""Limit of digits on each side of the point: longer numbers never fit an int64 at any scale in use (up to 18)."""


class NotPlain(ValueError):
    """Not a plain decimal such as -12.50."""


class DoesNotFit(ValueError):
    """A plain decimal that is not a multiple of the unit, or whose count of units exceeds int64."""


def split(text: object) -> tuple[int, int]:
    """("-12.50") → (-125, 1): digits without trailing zeros, and their scale. Raises NotPlain, DoesNotFit."""
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise NotPlain(text)
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    sign, digits = "-" if whole.startswith("-") else "", whole.lstrip("-0")
    if len(fraction) > _MAX_DIGITS or len(digits) > _MAX_DIGITS:
        raise DoesNotFit(text)
    return int(sign + (digits + fraction or "0")), len(fraction)


def plain(digits: int, scale: int) -> str:
    """(-12500, 3) → "-12.5": the shortest plain form of digits × 10^-scale."""
    if scale == 0:
        return str(digits)
    sign, text = ("-", str(-digits)) if digits < 0 else ("", str(digits))
    text = text.rjust(scale + 1, "0")
    fraction = text[-scale:].rstrip("0")
    return f"{sign}{text[:-scale]}.{fraction}" if fraction else sign + text[:-scale]


@dataclass(frozen=True, slots=True)
class Unit:
    """A positive unit: `mantissa × 10^-scale`."""

    mantissa: int
    scale: int

    @classmethod
    def parse(cls, text: object) -> Self:
        """Raises NotPlain, or DoesNotFit when it is not positive."""
        digits, scale = split(text)
        if digits <= 0:
            raise DoesNotFit(text)
        return cls(digits, scale)

    @classmethod
    def of_decimals(cls, decimals: int) -> Self:
        return cls(1, decimals)

    def count(self, text: object) -> int:
        """The number of units in `text`, as an int64. Raises NotPlain, DoesNotFit."""
        digits, scale = split(text)
        if scale > self.scale:
            raise DoesNotFit(text)
        factor: int = 10 ** (self.scale - scale)
        units, rest = divmod(digits * factor, self.mantissa)
        if rest or not INT64_MIN <= units <= INT64_MAX:
            raise DoesNotFit(text)
        return units

    def text(self, units: int) -> str:
        """The shortest plain decimal of `units` of this unit."""
        return plain(units * self.mantissa, self.scale)

    def decimal(self, units: int) -> Decimal:
        return Decimal(units * self.mantissa).scaleb(-self.scale)

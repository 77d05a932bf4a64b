"""Converts plain decimals such as `-12.50` to numbers of steps (ticks, lots, smallest units) and back."""

import re
from fractions import Fraction

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

# Python refuses integers of more than 4300 digits. No tick, lot or amount is nearly as long.
LONGEST_DIGITS = 1000
FAR_TOO_MUCH = Fraction(10**LONGEST_DIGITS)

_PLAIN = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")


def parse(text: object) -> Fraction | None:
    """The exact value of a plain decimal string; None for anything else (numbers, `+1`, `1.`, `.5`, `1e5`, ` 1`, `٣`).

    A value with more digits than any field can hold gives `FAR_TOO_MUCH`, which every field refuses.
    """
    matched = _PLAIN.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        return None
    sign, whole, places = matched[1], matched[2].lstrip("0"), (matched[3] or "").rstrip("0")
    if len(whole) + len(places) > LONGEST_DIGITS:
        return FAR_TOO_MUCH
    value = Fraction(int(whole + places or "0"), 10 ** len(places))
    return -value if sign else value


def steps(value: Fraction, step: Fraction) -> int | None:
    """`value` as a number of steps; None if that is not an integer or exceeds int64."""
    count = value / step
    if count.denominator != 1 or not INT64_MIN <= count.numerator <= INT64_MAX:
        return None
    return count.numerator


def write(count: int, step: Fraction) -> str:
    """`count` times `step` in its shortest plain form: `20000`, `0.5`, `0`. Every step is a finite decimal."""
    value = count * step
    whole, rest = divmod(abs(value.numerator), value.denominator)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, value.denominator)
        digits += str(digit)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"

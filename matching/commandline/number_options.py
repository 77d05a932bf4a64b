"""Argparse types of numeric options. Invalid input gets one sentence that states the accepted range.

Python's `int` and `float` are not used because they also accept NaN, infinity, underscores and digits of other scripts.
"""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

INT64_MAX = (1 << 63) - 1
MAX_SECONDS = 86_400.0
MAX_COMMANDS = 100_000_000
"""Maximum size of a generated workload, which is held in memory."""

_WHOLE = re.compile(r"[0-9]{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_SHOWN_CHARACTERS = 40


def whole_number(least: int, most: int = INT64_MAX) -> Callable[[str], int]:
    """Accepts `least` to `most`, both inclusive."""

    def read(text: str) -> int:
        if _WHOLE.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(f"{_shown(text)} is not a whole number from {least} to {most}.")

    return read


def decimal_number(least: float, most: float, what: str) -> Callable[[str], float]:
    """Accepts `least` to `most`, both inclusive; `what` is the unit named in the error."""

    def read(text: str) -> float:
        if _DECIMAL.fullmatch(text) and least <= float(text) <= most:
            return float(text)
        raise ArgumentTypeError(f"{_shown(text)} is not a number of {what} from {least:g} to {most:g}.")

    return read


def number_range(text: str) -> range:
    """Accepts A-B, both inclusive, or one number; at most 18 digits each."""
    found = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", text, re.ASCII)
    if found is None or int(found[1]) > int(found[2] or found[1]):
        raise ArgumentTypeError(f"{_shown(text)} is neither a range A-B with A <= B, such as 1-300, nor one number.")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


seconds = decimal_number(0.001, MAX_SECONDS, "seconds")
seconds_or_none = decimal_number(0.0, MAX_SECONDS, "seconds")
per_second = decimal_number(0.001, 1_000_000.0, "commands a second")
seed_number = whole_number(0)
command_count = whole_number(1, MAX_COMMANDS)


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])

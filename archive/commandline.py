"""What the archive's commands share."""

from argparse import ArgumentTypeError
from datetime import date

from archive.days import MAX_DAYS


def day_option(text: str) -> date:
    """An option that is a day, as 2026-01-31. Raises ArgumentTypeError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-01-31") from error


def days_option(text: str) -> int:
    """An option that is a number of days. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MAX_DAYS)) or int(text) > MAX_DAYS:
        raise ArgumentTypeError(f"{text!r} is not a number of days from 0 to {MAX_DAYS}")
    return int(text)

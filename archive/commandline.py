"""What the archive's commands share."""

from argparse import ArgumentTypeError
from datetime import date


def day_option(text: str) -> date:
    """An option that is a day, as 2026-01-31. Raises ArgumentTypeError."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-01-31") from error

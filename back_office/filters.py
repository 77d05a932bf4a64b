"""What a reader of a page may ask for in its address: each value is checked, each refusal is one sentence."""

import re
from collections.abc import Mapping
from datetime import date

from matching.core.decimals import INT64_MAX
from settlement import lookups

_WHOLE = re.compile(r"[0-9]{1,19}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PLACE = re.compile(r"([0-9]{1,19})-([0-9]{1,9})", re.ASCII)
_NAME = re.compile(r"[A-Z0-9._-]{1,32}", re.ASCII)


class BadFilter(ValueError):
    """A value that no page can be made for; its text is one sentence for a person."""


Query = Mapping[str, str | None]
"""What stands behind the question mark: Django's QueryDict, or a dict in a test."""


def text(query: Query, name: str) -> str:
    """The value without spaces around it; "" where it is not given."""
    return (query.get(name) or "").strip()


def whole(query: Query, name: str, label: str) -> int | None:
    """A whole number from 0 to the largest that the store knows; None where it is not given."""
    value = text(query, name)
    if not value:
        return None
    if not _WHOLE.fullmatch(value) or int(value) > INT64_MAX:
        raise BadFilter(f"{label} is a whole number from 0 to {INT64_MAX}, not {_shown(value)}.")
    return int(value)


def refuse_reversed(first: int, last: int) -> None:
    """Of a range's ends, both included. Raises BadFilter."""
    try:
        lookups.refuse_reversed(first, last)
    except lookups.ReversedRange as error:
        raise BadFilter(str(error)) from None


def symbol(query: Query, name: str, label: str) -> str | None:
    """An asset's or instrument's symbol, in capitals; whether it exists is for the caller to find out."""
    value = text(query, name).upper()
    if not value:
        return None
    if not _NAME.fullmatch(value):
        raise BadFilter(f"{label} is 1 to 32 characters of A-Z 0-9 . _ -, not {_shown(value)}.")
    return value


def day(query: Query, name: str, label: str) -> date | None:
    value = text(query, name)
    if not value:
        return None
    try:
        if not _DAY.fullmatch(value):
            raise ValueError(value)
        return date.fromisoformat(value)
    except ValueError:
        raise BadFilter(f"{label} is a date such as 2026-01-31, not {_shown(value)}.") from None


def place(query: Query, name: str, label: str) -> tuple[int, int] | None:
    """A ledger entry's place, `SEQUENCE-LEG`."""
    value = text(query, name)
    if not value:
        return None
    match = _PLACE.fullmatch(value)
    if not match or int(match[1]) > INT64_MAX:
        raise BadFilter(f"{label} is an event sequence and a leg such as 120-0, not {_shown(value)}.")
    return int(match[1]), int(match[2])


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")

"""Query parameters of pages: each value is validated, each error is one sentence."""

import re
from collections.abc import Mapping
from datetime import date

from django.core.exceptions import BadRequest

from matching.core.decimals import INT64_MAX
from settlement import lookups

REASON_CHARACTERS = 500

_WHOLE = re.compile(r"[0-9]{1,19}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ENTRY_KEY = re.compile(r"([0-9]{1,19})-([0-9]{1,9})", re.ASCII)
_NAME = re.compile(r"[A-Z0-9._-]{1,32}", re.ASCII)


class BadFilter(ValueError):
    """A query parameter is not valid. Its text is one sentence for the operator."""


Query = Mapping[str, str | None]
"""Query parameters: Django's QueryDict, or a dict in a test."""


def text(query: Query, name: str) -> str:
    """The value without surrounding spaces; "" if it is not given."""
    return (query.get(name) or "").strip()


def reason(form: Query) -> str:
    """Why an operator acts, in his words; "" if not given. Raises BadRequest, because it comes from a form of ours."""
    value = text(form, "reason")
    if len(value) > REASON_CHARACTERS:
        raise BadRequest(f"A reason can have at most {REASON_CHARACTERS} characters.")
    return value


def needed_reason(form: Query) -> str:
    """As `reason`, for an action that is not done without one. Raises BadFilter."""
    value = reason(form)
    if not value:
        raise BadFilter("Say why: the reason is kept in the audit log.")
    return value


def whole_number(query: Query, name: str, label: str) -> int | None:
    """A whole number from 0 to INT64_MAX; None if it is not given. Raises BadFilter, as all readers below."""
    value = text(query, name)
    if not value:
        return None
    if not _WHOLE.fullmatch(value) or int(value) > INT64_MAX:
        raise BadFilter(f"{label} must be a whole number from 0 to {INT64_MAX}, not {_quoted(value)}.")
    return int(value)


def check_range(first: int, last: int) -> None:
    """Checks a range, both ends included. Raises BadFilter if `last` is smaller than `first`."""
    try:
        lookups.refuse_reversed(first, last)
    except lookups.ReversedRange as error:
        raise BadFilter(str(error)) from None


def side(query: Query, name: str, label: str) -> str | None:
    """ "buy" or "sell"; None if it is not given."""
    value = text(query, name)
    if value not in ("", "buy", "sell"):
        raise BadFilter(f"{label} must be buy or sell, not {_quoted(value)}.")
    return value or None


def symbol(query: Query, name: str, label: str) -> str | None:
    """Symbol of an asset or instrument, in capitals. The caller checks whether it exists."""
    value = text(query, name).upper()
    if not value:
        return None
    if not _NAME.fullmatch(value):
        raise BadFilter(f"{label} must be 1 to 32 characters of A-Z 0-9 . _ -, not {_quoted(value)}.")
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
        raise BadFilter(f"{label} must be a date such as 2026-01-31, not {_quoted(value)}.") from None


def entry_key(query: Query, name: str, label: str) -> tuple[int, int] | None:
    """Key of a ledger entry, `SEQUENCE-LEG`: (event sequence, leg)."""
    value = text(query, name)
    if not value:
        return None
    match = _ENTRY_KEY.fullmatch(value)
    if not match or int(match[1]) > INT64_MAX:
        raise BadFilter(f"{label} must be an event sequence and a leg such as 120-0, not {_quoted(value)}.")
    return int(match[1]), int(match[2])


def _quoted(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")

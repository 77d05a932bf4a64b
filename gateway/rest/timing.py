"""The time in which a signed request counts. A request that was recorded cannot be repeated later.

All times are in microseconds since 1970 UTC, durations too.
"""

import re
from functools import lru_cache

from gateway.rest.errors import ApiError, illegal_characters, missing
from gateway.rest.parameters import Parameters

_DEFAULT_WINDOW_US = 5_000_000
_MAX_WINDOW_US = 60_000_000
_AHEAD_US = 1_000_000
_FIRST_IN_MICROSECONDS = 100_000_000_000_000
"""A timestamp from here on is in microseconds: as milliseconds it would be after the year 5000."""
_WINDOW = r"^[0-9]{1,8}(\.[0-9]{1,3})?$"


def expires_at_us(parameters: Parameters, now_us: int) -> int:
    """The last microsecond at which the request counts, from `timestamp` and `recvWindow`. Raises ApiError."""
    window_us = _window_us(parameters)
    if "timestamp" not in parameters:
        raise missing("timestamp")
    timestamp = parameters.integer("timestamp")
    timestamp_us = timestamp if timestamp >= _FIRST_IN_MICROSECONDS else timestamp * 1000
    if timestamp_us >= now_us + _AHEAD_US:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    check(timestamp_us + window_us, now_us)
    return timestamp_us + window_us


def check(last_us: int, now_us: int) -> None:
    """Raises ApiError if the request does not count any more."""
    if now_us > last_us:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _window_us(parameters: Parameters) -> int:
    text = parameters.optional_text("recvWindow")
    return _DEFAULT_WINDOW_US if text is None else _length_us(text)


@lru_cache(maxsize=256)
def _length_us(text: str) -> int:
    if re.fullmatch(_WINDOW, text, re.ASCII) is None:
        raise illegal_characters("recvWindow", _WINDOW)
    whole, _, fraction = text.partition(".")
    window_us = int(whole) * 1000 + int(fraction.ljust(3, "0") or 0)
    if window_us > _MAX_WINDOW_US:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    return window_us

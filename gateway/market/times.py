"""Times and time zones in parameters."""

import re

from gateway.model.intervals import DAY_NS, HOUR_NS, MINUTE_NS
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters

_MICROSECONDS_FROM = 10**14
"""A smaller number is a time in milliseconds: as microseconds it would be before 1973, as milliseconds after 5138."""
_ZONE = re.compile(r"([+-]?)([0-9]{1,2})(?::([0-5][0-9]))?", re.ASCII)
_EARLIEST_ZONE_NS, _LATEST_ZONE_NS = -12 * HOUR_NS, 14 * HOUR_NS
_WINDOW = re.compile(r"([0-9]{1,2})([mhd])", re.ASCII)
_WINDOW_UNITS = {"m": (MINUTE_NS, 59), "h": (HOUR_NS, 23), "d": (DAY_NS, 7)}


def start(parameters: Parameters) -> int | None:
    """startTime in nanoseconds. Raises ApiError."""
    return _time_ns(parameters, "startTime", last=False)


def end(parameters: Parameters) -> int | None:
    """endTime in nanoseconds, with the whole milli- or microsecond that it names. Raises ApiError."""
    return _time_ns(parameters, "endTime", last=True)


def _time_ns(parameters: Parameters, name: str, *, last: bool) -> int | None:
    given = parameters.optional_integer(name)
    if given is None:
        return None
    unit = 1000 if given >= _MICROSECONDS_FROM else 1_000_000
    return given * unit + (unit - 1 if last else 0)


def zone(parameters: Parameters) -> int:
    """timeZone as nanoseconds ahead of UTC, from -12:00 to +14:00. Raises ApiError."""
    text = parameters.optional_text("timeZone")
    if text is None:
        return 0
    found = _ZONE.fullmatch(text)
    if found is None:
        raise errors.invalid("timeZone")
    offset_ns = int(found[2]) * HOUR_NS + int(found[3] or 0) * MINUTE_NS
    offset_ns = -offset_ns if found[1] == "-" else offset_ns
    if not _EARLIEST_ZONE_NS <= offset_ns <= _LATEST_ZONE_NS:
        raise errors.invalid("timeZone")
    return offset_ns


def window(parameters: Parameters) -> int:
    """windowSize in nanoseconds: 1m to 59m, 1h to 23h, 1d to 7d. Raises ApiError."""
    found = _WINDOW.fullmatch(parameters.optional_text("windowSize") or "1d")
    length_ns, most = _WINDOW_UNITS[found[2]] if found else (0, 0)
    if found is None or not 1 <= int(found[1]) <= most:
        raise ApiError(-1100, "Illegal characters found in parameter 'windowSize'; legal range is '^[0-9]{1,2}[mhd]$'.")
    return int(found[1]) * length_ns

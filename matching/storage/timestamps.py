"""Valid block times: nanoseconds since the Unix epoch, up to LAST_TIMESTAMP_NS."""

LAST_TIMESTAMP_NS = 7_258_118_400 * 10**9
"""2200-01-01 UTC: no block gets a later time. An int64 of nanoseconds ends in 2262."""


def usable_ns(reading_ns: int) -> int:
    """The reading, or 0 if it is later than any valid block time."""
    return reading_ns if reading_ns <= LAST_TIMESTAMP_NS else 0

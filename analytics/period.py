"""The days that a query is about."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from analytics.errors import QueryRefused
from matching.core.decimals import INT64_MAX

_EPOCH = date(1970, 1, 1)
_DAY_NS = 86_400 * 10**9
_LAST_DAY = _EPOCH + timedelta(days=INT64_MAX // _DAY_NS - 1)


class Period(NamedTuple):
    """UTC days, both included; None: from the first one, to the last one."""

    first: date | None = None
    last: date | None = None

    @property
    def from_ns(self) -> int:
        return 0 if self.first is None else max(0, (self.first - _EPOCH).days * _DAY_NS)

    @property
    def to_ns(self) -> int:
        """The first nanosecond after the period."""
        if self.last is None or self.last > _LAST_DAY:
            return INT64_MAX
        return max(0, ((self.last - _EPOCH).days + 1) * _DAY_NS)

    def has(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    @classmethod
    def between(cls, first: date | None, last: date | None) -> "Period":
        """Raises QueryRefused if it ends before it begins."""
        if first and last and first > last:
            raise QueryRefused(f"The period begins on {first}, after its end {last}.")
        return cls(first, last)

    @classmethod
    def newest_days(cls, count: int) -> "Period":
        today = datetime.now(UTC).date()
        return cls(today - timedelta(days=count - 1), today)

"""The intervals of candles. All are aligned to UTC; weeks begin on Monday, months on their first day."""

from datetime import UTC, datetime
from enum import Enum

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
WEEK_NS = 7 * DAY_NS
_FIRST_MONDAY_NS = 4 * DAY_NS  # 5 January 1970


class Interval(Enum):
    """By the API's name. `length_ns` is that of a month at most."""

    SECOND = "1s"
    MINUTE = "1m"
    MINUTES_3 = "3m"
    MINUTES_5 = "5m"
    MINUTES_15 = "15m"
    MINUTES_30 = "30m"
    HOUR = "1h"
    HOURS_2 = "2h"
    HOURS_4 = "4h"
    HOURS_6 = "6h"
    HOURS_8 = "8h"
    HOURS_12 = "12h"
    DAY = "1d"
    DAYS_3 = "3d"
    WEEK = "1w"
    MONTH = "1M"

    @property
    def length_ns(self) -> int:
        unit = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS, "w": WEEK_NS, "M": 31 * DAY_NS}
        return int(self.value[:-1]) * unit[self.value[-1]]

    def begin(self, time_ns: int) -> int:
        """The beginning of the interval that contains `time_ns`."""
        if self is Interval.MONTH:
            date = _date(time_ns)
            return _nanoseconds(datetime(date.year, date.month, 1, tzinfo=UTC))
        shift = _FIRST_MONDAY_NS if self is Interval.WEEK else 0
        return time_ns - (time_ns - shift) % self.length_ns

    def after(self, begin_ns: int) -> int:
        """The beginning of the next interval."""
        if self is Interval.MONTH:
            date = _date(begin_ns)
            following = datetime(date.year + date.month // 12, date.month % 12 + 1, 1, tzinfo=UTC)
            return _nanoseconds(following)
        return begin_ns + self.length_ns


def _date(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC)


def _nanoseconds(date: datetime) -> int:
    return int(date.timestamp()) * SECOND_NS

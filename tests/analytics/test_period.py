from datetime import date

import pytest

from analytics.errors import QueryRefused
from analytics.period import Period
from matching.core.decimals import INT64_MAX

DAY_NS = 86_400 * 10**9


def test_a_period_has_both_of_its_days() -> None:
    period = Period.between(date(1970, 1, 2), date(1970, 1, 3))
    assert (period.from_ns, period.to_ns) == (DAY_NS, 3 * DAY_NS)
    assert [period.has(date(1970, 1, day)) for day in (1, 2, 3, 4)] == [False, True, True, False]


@pytest.mark.parametrize("last", [None, date.max, date(2262, 4, 12)])
def test_an_open_or_far_end_is_the_largest_time(last: date | None) -> None:
    assert Period(None, last).to_ns == INT64_MAX


def test_a_period_before_1970_is_empty() -> None:
    period = Period(date.min, date(1969, 12, 31))
    assert (period.from_ns, period.to_ns) == (0, 0)


def test_a_reversed_period_is_refused() -> None:
    with pytest.raises(QueryRefused, match="The period begins on 2026-02-01, after its end 2026-01-31"):
        Period.between(date(2026, 2, 1), date(2026, 1, 31))

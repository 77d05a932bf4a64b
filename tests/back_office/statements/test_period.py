"""The events of days: those of the blocks that a search through all of them finds."""

from datetime import date, timedelta

import pytest

from back_office.filters import BadFilter
from back_office.statements.period import Days, Events
from settlement.stores.base import Store
from tests.back_office.market import Market

DAY_NS = 86_400 * 10**9
FIRST = date(2026, 1, 1)


@pytest.fixture
def week(market: Market) -> Market:
    """Trades on the first, second, fifth and sixth day; several blocks of one time; the last one is at midnight."""
    noon_ns = market.time_ns
    for day in (0, 1, 4, 5):
        market.time_ns = noon_ns + day * DAY_NS
        market.run(12, a_block=2, step_ns=day % 2 * 10**9)
    market.time_ns = noon_ns + 5 * DAY_NS + DAY_NS // 2
    market.run(2, a_block=1, step_ns=0)
    return market


def test_the_events_of_days_are_those_of_a_search_through_all_blocks(week: Market, store: Store) -> None:
    blocks = list(store.blocks(1))
    end = blocks[-1].last_event_sequence + 1
    days = [None, date.min, date.max, *(FIRST + timedelta(days=number) for number in range(-1, 8))]
    for first in days:
        for last in days:
            if first and last and first > last:
                continue
            inside = [
                event
                for block in blocks
                if (first is None or block.timestamp_ns // DAY_NS >= (first - date(1970, 1, 1)).days)
                and (last is None or block.timestamp_ns // DAY_NS <= (last - date(1970, 1, 1)).days)
                for event in range(block.first_event_sequence, block.last_event_sequence + 1)
            ]
            found = Days(first, last).events(store)
            assert [*range(max(found.first, 1), found.end)] == inside, (first, last)
            assert found.end <= end


def test_blocks_that_are_not_projected_have_no_events(week: Market, store: Store) -> None:
    projected = store.projected()
    newest = store.newest_blocks(1)[0]
    event = newest.last_event_sequence + 1
    later = newest._replace(
        number=newest.number + 1,
        hash=7,
        prev_hash=newest.hash,
        data=b"later",
        first_event_sequence=event,
        last_event_sequence=event,
    )
    store.append_blocks([later])
    assert store.projected() == projected
    assert Days(FIRST, None).events(store).end == event
    assert Days(None, FIRST + timedelta(days=30)).events(store) == Events(0, event)
    assert Days(FIRST + timedelta(days=30), None).events(store) == Events(event, event)


def test_an_empty_store_has_no_events(store: Store) -> None:
    found = Days(FIRST, FIRST).events(store)
    assert found.first == found.end


def test_days_are_read_from_a_query() -> None:
    assert Days.read({}) is None
    assert Days.read({"from": "2026-01-01"}) == Days(FIRST, None)
    assert Days.read({"to": "2026-01-01"}) == Days(None, FIRST)
    with pytest.raises(BadFilter, match=r"^The period begins on 2026-01-02, after its end 2026-01-01\.$"):
        Days.read({"from": "2026-01-02", "to": "2026-01-01"})

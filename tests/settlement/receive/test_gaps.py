"""Blocks lost from a stream that settlement followed are a gap; blocks that it catches up on are none."""

import pytest

from settlement.options import Options
from settlement.receive.gaps import CAUGHT_UP_S, LONG_PAUSE_S, Gaps
from tests.settlement.fakes import FakeClock, ScriptedFeed


@pytest.fixture
def feed(clock: FakeClock) -> ScriptedFeed:
    return ScriptedFeed(clock, [], says_missing=False)


@pytest.fixture
def gaps(feed: ScriptedFeed, clock: FakeClock) -> Gaps:
    return Gaps(feed, clock, Options())


def arrive(gaps: Gaps, number: int) -> None:
    """All blocks up to this one are there."""
    gaps.check(number + 1, 0, number)


def miss(gaps: Gaps, number: int) -> None:
    """The block after this one has arrived."""
    gaps.check(number, number + 1, number + 1)


def test_blocks_lost_from_a_stream_that_is_followed_are_a_gap(gaps: Gaps, feed: ScriptedFeed) -> None:
    arrive(gaps, 3)
    miss(gaps, 4)
    assert (gaps.count, feed.requests) == (1, [(4, 5)])
    arrive(gaps, 5)
    miss(gaps, 9)
    assert (gaps.count, feed.requests) == (2, [(4, 5), (9, 10)])


def test_blocks_made_before_settlement_started_are_requested_and_are_no_gap(gaps: Gaps, feed: ScriptedFeed) -> None:
    miss(gaps, 16)
    assert (gaps.count, feed.requests) == (0, [(16, 17)])


def test_an_engine_that_has_announced_nothing_is_not_followed(gaps: Gaps, feed: ScriptedFeed) -> None:
    arrive(gaps, 0)
    miss(gaps, 1)
    assert (gaps.count, feed.requests) == (0, [(1, 2)])


def test_a_new_subscription_begins_in_the_middle_of_the_stream(gaps: Gaps, feed: ScriptedFeed) -> None:
    arrive(gaps, 15)
    gaps.forget()
    miss(gaps, 16)
    assert (gaps.count, feed.requests) == (0, [(16, 17)])
    arrive(gaps, 18)
    miss(gaps, 19)
    assert gaps.count == 1


def test_blocks_lost_in_a_long_pause_are_no_gap(gaps: Gaps, feed: ScriptedFeed) -> None:
    arrive(gaps, 3)
    gaps.exclude(LONG_PAUSE_S)
    arrive(gaps, 4)  # from the queue, which kept the oldest blocks
    miss(gaps, 5)
    assert (gaps.count, feed.requests) == (0, [(5, 6)])


def test_a_short_pause_excuses_nothing(gaps: Gaps) -> None:
    arrive(gaps, 3)
    gaps.exclude(LONG_PAUSE_S * 0.99)
    miss(gaps, 4)
    assert gaps.count == 1


def test_settlement_that_has_caught_up_after_a_pause_counts_gaps_again(gaps: Gaps, clock: FakeClock) -> None:
    arrive(gaps, 3)
    gaps.exclude(LONG_PAUSE_S)
    clock.sleep(CAUGHT_UP_S)
    miss(gaps, 4)
    assert gaps.count == 1


def test_a_queue_that_takes_long_to_read_is_still_that_of_the_pause(gaps: Gaps, clock: FakeClock) -> None:
    arrive(gaps, 3)
    gaps.exclude(LONG_PAUSE_S)
    for _ in range(4):
        clock.sleep(CAUGHT_UP_S * 0.9)
        gaps.note_full_receive()
    miss(gaps, 4)
    assert gaps.count == 0
    arrive(gaps, 6)
    clock.sleep(CAUGHT_UP_S)
    gaps.note_full_receive()  # without a pause before it, a full queue is load
    miss(gaps, 7)
    assert gaps.count == 1

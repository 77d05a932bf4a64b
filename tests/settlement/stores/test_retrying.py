"""Retries of store calls, driven step by step: the delays that they yield, and their results."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from settlement.options import Options
from settlement.stores.base import StoreRejected, StoreUnavailable
from settlement.stores.retrying import StoreRetrier, StoreWork, finish
from tests.settlement.fakes import FakeClock

OPTIONS = Options(retry_first_s=0.05, retry_max_s=2)


def answering_after(failures: int, ends: Exception | None = None) -> Callable[[], str]:
    """A store call that is not answered so often, then answered, or refused with `ends`."""
    calls = iter(range(failures))

    def action() -> str:
        for _ in calls:
            raise StoreUnavailable("The database does not answer.")
        if ends:
            raise ends
        return "rows"

    return action


def test_a_call_that_is_answered_yields_nothing(clock: FakeClock) -> None:
    retrier = StoreRetrier(clock, OPTIONS)
    with pytest.raises(StopIteration) as ended:
        next(retrier(answering_after(0)))
    assert ended.value.value == "rows"
    assert retrier.down_for_s == 0


def test_the_delays_double_up_to_the_longest_with_jitter(clock: FakeClock) -> None:
    delays: list[float] = []
    assert finish(StoreRetrier(clock, OPTIONS)(answering_after(9)), delays.append) == "rows"
    doubled = [0.05 * 2**attempt for attempt in range(9)]
    assert len(delays) == len(doubled)
    for delay, least in zip(delays, doubled, strict=True):
        assert min(least, 2) <= delay <= min(least + 0.05, 2)


@pytest.mark.parametrize("ends", [None, StoreRejected("The rows are refused.")])
def test_the_store_is_down_from_the_first_failure_to_an_answer_or_a_refusal(
    clock: FakeClock, ends: StoreRejected | None
) -> None:
    retrier = StoreRetrier(clock, OPTIONS)
    down: list[float] = []

    def wait(delay_s: float) -> None:
        clock.sleep(1)
        down.append(round(retrier.down_for_s))

    with pytest.raises(StoreRejected) if ends else nullcontext():
        finish(retrier(answering_after(3, ends)), wait)
    assert down == [1, 2, 3]
    assert retrier.down_for_s == 0


def test_work_continues_at_the_call_that_was_not_answered(clock: FakeClock) -> None:
    retrier = StoreRetrier(clock, OPTIONS)
    done: list[str] = []

    def work() -> StoreWork[None]:
        done.append((yield from retrier(lambda: "first")))
        done.append((yield from retrier(answering_after(2))))

    assert len(list(work())) == 2
    assert done == ["first", "rows"]


def test_work_that_is_given_up_ends_there(clock: FakeClock) -> None:
    class GivenUp(Exception):
        pass

    def give_up(delay_s: float) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        finish(StoreRetrier(clock, OPTIONS)(answering_after(10**9)), give_up)

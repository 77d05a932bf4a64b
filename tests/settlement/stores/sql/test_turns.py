"""Turns of writers in one process: appends go before rows, and a turn that is not given is no error."""

import threading
from concurrent.futures import ThreadPoolExecutor

from settlement.stores.sql.turns import WriteTurns

DEADLINE_S = 20.0


def wait_until_waiting(turns: WriteTurns, count: int) -> None:
    deadline = threading.Event()
    for _ in range(int(DEADLINE_S * 1000)):
        if turns.waiting == count:
            return
        deadline.wait(0.001)
    raise AssertionError(f"{turns.waiting} of {count} wait")


def test_an_append_that_waits_goes_before_rows_that_waited_longer() -> None:
    turns, order = WriteTurns(DEADLINE_S), list[str]()

    def write(name: str, is_urgent: bool) -> None:
        with turns.turn(is_urgent=is_urgent):
            order.append(name)

    with ThreadPoolExecutor(3) as pool, turns.turn(is_urgent=False):
        pool.submit(write, "rows", False)
        wait_until_waiting(turns, 1)
        pool.submit(write, "append", True)
        wait_until_waiting(turns, 2)
    assert order == ["append", "rows"]


def test_one_writes_at_a_time() -> None:
    turns, inside, most = WriteTurns(DEADLINE_S), [0], [0]

    def write(is_urgent: bool) -> None:
        for _ in range(200):
            with turns.turn(is_urgent=is_urgent):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(write, number % 2 == 0)
    assert (most, turns.waiting) == ([1], 0)


def test_a_writer_that_waits_too_long_goes_on_and_the_turn_of_the_other_is_kept() -> None:
    turns = WriteTurns(timeout_s=0.01)
    with turns.turn(is_urgent=False):
        with turns.turn(is_urgent=True):
            pass
        with turns.turn(is_urgent=True):
            pass
    with turns.turn(is_urgent=False):
        assert turns.waiting == 0


def test_an_error_gives_the_turn_back() -> None:
    turns = WriteTurns(DEADLINE_S)
    try:
        with turns.turn(is_urgent=False):
            raise ValueError
    except ValueError:
        pass
    with turns.turn(is_urgent=True):
        pass

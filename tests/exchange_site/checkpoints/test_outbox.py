"""Checkpoints on their way to their places, also to those that do not answer."""

import threading

from structlog.testing import capture_logs

from exchange_site.checkpoints import metrics
from exchange_site.checkpoints.outbox import Delivery, Outbox
from exchange_site.checkpoints.places import PlaceUnavailable
from settlement.stores.base import StoredCheckpoint
from tests.exchange_site.checkpoints.test_places import checkpoint
from tests.matching.small_exchange import until
from tests.settlement.fakes import FakeClock


class FakePlace:
    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.is_away = False
        self.written: list[int] = []
        self.attempts = 0

    def write(self, checkpoint: StoredCheckpoint) -> None:
        self.attempts += 1
        if self.is_away:
            raise PlaceUnavailable("no route to host")
        self.written.append(checkpoint.block_number)


def test_a_place_that_is_away_gets_everything_when_it_is_back() -> None:
    clock, place = FakeClock(), FakePlace("away")
    delivery = Delivery(place, clock.monotonic)
    place.is_away = True
    failures = metrics.FAILURES.labels("away")._value.get()
    with capture_logs() as logs:
        for number in range(1, 6):
            delivery.add(checkpoint(number))
            delivery.deliver()
            clock.sleep(5)
        assert (place.written, place.attempts) == ([], 3)
        assert metrics.WAITING.labels("away")._value.get() == 5
        place.is_away = False
        clock.sleep(10)
        delivery.deliver()
    assert place.written == [1, 2, 3, 4, 5]
    assert metrics.FAILURES.labels("away")._value.get() == failures + 3
    assert metrics.WAITING.labels("away")._value.get() == 0
    assert [(line["event"], line["place"]) for line in logs] == [
        ("checkpoints.place_unavailable", "away"),
        ("checkpoints.place_available", "away"),
    ]


def test_the_newest_checkpoints_are_kept_for_a_place_that_is_away_for_long() -> None:
    place = FakePlace()
    delivery = Delivery(place)
    for number in range(1, 3001):
        delivery.add(checkpoint(number))
    delivery.deliver()
    assert place.written == list(range(2001, 3001))


def test_the_end_of_the_process_tries_a_place_again() -> None:
    place = FakePlace()
    delivery = Delivery(place, FakeClock().monotonic)
    place.is_away = True
    delivery.add(checkpoint(1))
    delivery.deliver()
    place.is_away = False
    delivery.deliver()
    assert place.written == []
    delivery.deliver(is_last=True)
    assert place.written == [1]


def test_a_place_that_blocks_for_ever_holds_up_no_other() -> None:
    released = threading.Event()

    class Blocking(FakePlace):
        def write(self, checkpoint: StoredCheckpoint) -> None:
            released.wait()

    there = FakePlace("there")
    outbox = Outbox([Blocking("blocking"), there])
    with outbox.running():
        outbox.add(checkpoint(1))
        until(lambda: there.written == [1], "the place that answers")
        outbox.add(checkpoint(2))
        until(lambda: there.written == [1, 2], "the place that answers")
        released.set()

"""The schedule of background work, by a clock that is set forward and back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.schedules import schedule

from exchange_site import celery
from exchange_site.schedule import ReplanningScheduler

EVERY_S = 10.0
HOUR = timedelta(hours=1)


class Clock:
    """Its time is that of the class, because the schedule file has copies of it."""

    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, by: timedelta) -> None:
        type(self).now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock, tmp_path: Path) -> Iterator[ReplanningScheduler]:
    app = Celery(broker="memory://")
    app.conf.beat_schedule = {"beat": {"task": "beat", "schedule": schedule(EVERY_S, nowfun=clock, app=app)}}
    made = ReplanningScheduler(app, schedule_filename=str(tmp_path / "schedule"))
    yield made
    made.close()


def runs_within(scheduler: ReplanningScheduler, clock: Clock, seconds: int) -> int:
    """Lets the clock go on second by second; returns how often the task was sent."""
    before: int = scheduler.schedule["beat"].total_run_count
    for _ in range(seconds):
        clock.step(timedelta(seconds=1))
        while scheduler.tick() == 0:
            pass
    after: int = scheduler.schedule["beat"].total_run_count
    return after - before


def test_the_site_uses_it() -> None:
    assert celery.app.conf.beat_scheduler == "exchange_site.schedule:ReplanningScheduler"


def test_tasks_are_sent_again_within_their_interval_after_the_clock_was_set_back(
    scheduler: ReplanningScheduler, clock: Clock
) -> None:
    assert runs_within(scheduler, clock, 60) in (5, 6)
    clock.step(HOUR)
    assert runs_within(scheduler, clock, 30) in (3, 4)
    clock.step(-HOUR)
    assert runs_within(scheduler, clock, 60) in (5, 6)


def test_a_step_of_the_clock_that_is_corrected_at_once_delays_nothing(
    scheduler: ReplanningScheduler, clock: Clock
) -> None:
    clock.step(HOUR)
    clock.step(-HOUR)
    assert runs_within(scheduler, clock, 60) in (5, 6)

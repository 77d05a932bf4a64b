"""Heartbeats in the database."""

import pytest
from django.db import DatabaseError

from settlement import tasks
from settlement.alarms import heartbeats
from settlement.alarms.heartbeats import Beat
from settlement.alarms.worker_alarms import Alarms
from tests.settlement.alarms.statuses import QUIET
from tests.settlement.fakes import FakeClock


def test_each_process_counts_its_own_beats(db: None) -> None:
    assert heartbeats.read() == {}
    heartbeats.beat("settlement", turns=7)
    heartbeats.beat("settlement", turns=9)
    heartbeats.beat("background")
    assert heartbeats.read() == {"settlement": Beat(2, 9), "background": Beat(1, 0)}


def test_settlement_beats_with_its_alarms_and_tells_the_turns_of_its_loop(db: None, clock: FakeClock) -> None:
    alarms = Alarms(clock)
    alarms.write()
    first = heartbeats.read()["settlement"]
    alarms.observe(QUIET)
    alarms.observe(QUIET)
    alarms.write()
    assert heartbeats.read()["settlement"] == Beat(first.beats + 1, first.turns + 2)


def test_background_work_beats_on_schedule(db: None) -> None:
    tasks.beat()
    tasks.beat()
    assert heartbeats.read() == {"background": Beat(2, 0)}


def test_a_beat_without_a_database_fails_no_background_work(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> None:
        raise DatabaseError("the database is away")

    monkeypatch.setattr(heartbeats, "beat", away)
    tasks.beat()

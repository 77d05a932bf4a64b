"""The web's watch over settlement and background work."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils.timezone import now

from back_office import readers
from back_office.pages.alarms import RaisedAlarms
from back_office.watch import Watch
from matching.core.errors import EngineUnreachable
from settlement.alarms import heartbeats, records
from settlement.alarms.rules import BACKGROUND_SILENT_S, SILENT_CRITICAL_S, Kind, Severity, Signal
from settlement.models import Alarm, RebuildRequest
from settlement.project import rebuild_requests
from tests.back_office.conftest import words


class Engine:
    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = {"halted": False}

    def status(self) -> Mapping[str, Any]:
        if self.answer is None:
            raise EngineUnreachable("away")
        return self.answer

    def depth(self) -> Mapping[str, Any]:
        raise NotImplementedError


class Watched:
    """A watch on a clock of its own; the processes beat when told."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.engine = Engine()
        self.turns = 0
        self.watch = Watch(self.engine, lambda: self.now_s)
        self.watch.look()

    def run(self, seconds: int, *alive: str, is_stuck: bool = False) -> None:
        """Looks once a second; the processes that are `alive` beat before."""
        for _ in range(seconds):
            self.turns += not is_stuck
            for name in alive:
                heartbeats.beat(name, self.turns)
            self.now_s += 1.0
            self.watch.look()

    def raised(self) -> dict[str, tuple[str, str]]:
        return {row.title: (row.severity, row.message) for row in self.watch.raised.rows}


@pytest.fixture
def watched(db: None) -> Watched:
    return Watched()


BOTH = (heartbeats.SETTLEMENT, heartbeats.BACKGROUND)


def test_settlement_that_falls_silent_is_critical_within_ten_seconds_and_no_longer_when_it_beats(
    watched: Watched,
) -> None:
    watched.run(30, *BOTH)
    assert watched.raised() == {}
    watched.run(7, heartbeats.BACKGROUND)
    assert watched.raised() == {}
    watched.run(1, heartbeats.BACKGROUND)
    severity, message = watched.raised()["Settlement silent"]
    assert severity == "critical"
    assert message.startswith("Settlement has been silent for 8 s: ")
    assert message.endswith("start it with: manage.py run_settlement")
    watched.run(12, heartbeats.BACKGROUND)
    assert watched.raised()["Settlement silent"][1].startswith("Settlement has been silent for 20 s: ")
    watched.run(1, *BOTH)
    assert watched.raised() == {}
    assert [(row.kind, row.cleared_at is None) for row in Alarm.objects.all()] == [("settlement_silent", False)]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (None, "The engine does not answer the web either."),
        ({"halted": True}, "The engine answers, but accepts no commands."),
        ({"halted": False}, "The engine answers; it halts when its ring of unconfirmed blocks is full."),
    ],
)
def test_the_alarm_says_what_the_engine_does_meanwhile(
    watched: Watched, answer: dict[str, Any] | None, sentence: str
) -> None:
    watched.engine.answer = answer
    watched.run(1, *BOTH)
    watched.run(9)
    assert sentence in watched.raised()["Settlement silent"][1]


def test_a_process_that_lives_and_makes_no_step_is_told_apart(watched: Watched) -> None:
    watched.run(5, *BOTH)
    watched.run(12, *BOTH, is_stuck=True)
    severity, message = watched.raised()["Settlement silent"]
    assert (severity, message[:66]) == ("warning", "Settlement's process lives, but has been in one step for 12 s. A v")
    watched.run(110, *BOTH, is_stuck=True)
    assert watched.raised()["Settlement silent"][0] == "critical"
    watched.run(1, *BOTH)
    assert watched.raised() == {}


def test_background_work_that_falls_silent_is_a_warning(watched: Watched) -> None:
    watched.run(1, *BOTH)
    watched.run(int(BACKGROUND_SILENT_S), heartbeats.SETTLEMENT)
    assert watched.raised() == {}
    watched.run(1, heartbeats.SETTLEMENT)
    assert watched.raised()["Background silent"][0] == "warning"


def test_a_worker_of_actions_that_falls_silent_is_a_warning(watched: Watched) -> None:
    watched.run(1, *BOTH, heartbeats.ACTIONS)
    watched.run(int(SILENT_CRITICAL_S), *BOTH)
    assert watched.raised() == {}
    watched.run(1, *BOTH)
    severity, message = watched.raised()["Actions silent"]
    assert severity == "warning"
    assert message.endswith("Start it with: manage.py run_actions")
    watched.run(1, *BOTH, heartbeats.ACTIONS)
    assert watched.raised() == {}


def test_a_settlement_that_was_gone_before_the_web_started_is_found(watched: Watched) -> None:
    heartbeats.beat(heartbeats.SETTLEMENT)
    again = Watch(watched.engine, lambda: watched.now_s)
    for _ in range(10):
        again.look()
        watched.now_s += 1.0
    assert [row.title for row in again.raised.rows] == ["Settlement silent"]


def test_an_exchange_that_has_never_settled_has_no_silent_settlement(watched: Watched) -> None:
    watched.run(100)
    assert watched.raised() == {}


def test_a_web_that_was_paused_finds_nobody_silent(watched: Watched) -> None:
    """As after SIGSTOP and SIGCONT, or a machine that was suspended: nobody has beaten meanwhile."""
    watched.run(5, *BOTH)
    watched.now_s += 3600.0
    watched.watch.look()
    assert watched.raised() == {}
    watched.run(3)
    assert watched.raised() == {}
    watched.run(8)
    assert "Settlement silent" in watched.raised()


def test_time_without_a_database_is_not_silence(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.run(5, *BOTH)

    def away() -> Mapping[str, Any]:
        raise OperationalError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(heartbeats, "read", away)
        watched.run(60)
        assert not watched.watch.is_watching
    watched.run(2)
    assert watched.raised() == {}
    assert watched.watch.is_watching
    watched.run(9)
    assert "Settlement silent" in watched.raised()


def test_a_database_that_accepts_no_writes_is_critical_within_ten_seconds_and_nobody_is_silent_after_it(
    operator: Client, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.run(5, *BOTH)

    def locked(*arguments: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(records, "raise_alarm", locked)
        patched.setattr(records, "clear_alarm", locked)
        watched.run(3)
        assert watched.raised()["Database unwritable"][0] == "warning"
        watched.run(6)
        severity, message = watched.raised()["Database unwritable"]
        assert severity == "critical"
        assert message.startswith("The site's database has accepted no writes for 8 s, ")
        monkeypatch.setattr(readers, "watch", lambda: watched.watch)
        for address in ("/admin/", "/admin/overview/live/", "/admin/trades/", "/admin/alarms/bar/"):
            assert message in words(operator.get(address)), address
        watched.run(20)
        assert list(watched.raised()) == ["Database unwritable"]
    watched.run(7)
    assert watched.raised() == {}
    assert not Alarm.objects.exists()
    watched.run(1)
    assert list(watched.raised()) == ["Settlement silent"]


def test_what_a_silent_settlement_has_left_is_shown_beneath_its_cause(watched: Watched) -> None:
    watched.run(1, *BOTH)
    lag = Signal(Kind.LAG, Severity.CRITICAL, "The store is behind.")
    records.raise_alarm(lag, now(), now())
    watched.run(9)
    rows = watched.watch.raised.rows
    assert [(row.title, row.is_stale) for row in rows] == [("Settlement silent", False), ("Lag", True)]
    assert (watched.watch.raised.critical, watched.watch.raised.warnings) == (1, 0)


def test_every_page_shows_the_bar_and_the_title_counts(
    operator: Client, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.run(1, *BOTH)
    watched.run(int(SILENT_CRITICAL_S) + 1)
    monkeypatch.setattr(readers, "watch", lambda: watched.watch)
    for address in ("/admin/trades/", "/admin/orders/", "/admin/accounts/", "/admin/blocks/", "/admin/dead_letters/"):
        response = operator.get(address)
        assert "<title> (1 critical)" in response.content.decode(), address
        assert "Settlement has been silent for 8 s" in words(response), address
    assert "Settlement has been silent for 8 s" in words(operator.get("/admin/alarms/bar/"))


def test_without_alarms_there_is_no_bar(operator: Client, monkeypatch: pytest.MonkeyPatch, watched: Watched) -> None:
    monkeypatch.setattr(readers, "watch", lambda: watched.watch)
    assert watched.watch.raised == RaisedAlarms([])
    page = operator.get("/admin/trades/").content.decode()
    assert "critical)" not in page
    assert "office-alarms" not in page


def test_a_rebuild_of_projections_is_told_on_every_page(watched: Watched) -> None:
    rebuild_requests.ask(7, 1)
    watched.run(1)
    assert watched.raised()["Rebuild"][0] == Severity.WARNING
    assert "it waits for settlement. Until it is done, pages" in watched.raised()["Rebuild"][1]
    RebuildRequest.objects.update(state=RebuildRequest.State.PROJECTING, projected=1200, to_block=5000)
    watched.run(1)
    assert "1,200 of 5,000 blocks are projected." in watched.raised()["Rebuild"][1]
    RebuildRequest.objects.update(state=RebuildRequest.State.DONE)
    watched.run(1)
    assert watched.raised() == {}

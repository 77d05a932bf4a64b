from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from back_office.alarm_notifications import mutes, outbox
from back_office.alarm_notifications.channels import Channel, NotSent
from back_office.alarm_notifications.notification import Event, Notification
from back_office.models import AlarmNotification
from settlement.alarms import records
from settlement.alarms.rules import Kind, Severity, Signal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
pytestmark = pytest.mark.django_db


class Told:
    """A channel that keeps what it was told. Real ones are in test_channels; this one fails when a test says so."""

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.is_away = False
        self.heard: list[tuple[Event, str]] = []

    def send(self, notification: Notification) -> None:
        if self.is_away:
            raise NotSent("it is away")
        self.heard.append((notification.event, notification.kind))


def raise_alarm(kind: Kind = Kind.LAG, severity: Severity = Severity.WARNING) -> None:
    records.raise_alarm(Signal(kind, severity, "Something happened."), NOON, NOON)


def run(*channels: Channel, at: datetime = NOON, lowest: Severity = Severity.WARNING) -> None:
    outbox.plan(channels, lowest, at)
    outbox.deliver(channels, at)


def test_a_raised_alarm_is_told_once_and_so_is_its_end() -> None:
    told = Told()
    run(told)
    assert told.heard == []
    raise_alarm()
    run(told)
    run(told, at=NOON + SECOND)
    assert told.heard == [(Event.WARNING, "lag")]
    records.clear_alarm(Kind.LAG, NOON)
    run(told, at=NOON + 2 * SECOND)
    run(told, at=NOON + 3 * SECOND)
    assert told.heard == [(Event.WARNING, "lag"), (Event.CLEARED, "lag")]


def test_an_alarm_that_is_raised_again_is_told_again() -> None:
    told = Told()
    for _ in range(2):
        raise_alarm()
        run(told)
        records.clear_alarm(Kind.LAG, NOON)
        run(told)
    assert [event for event, _ in told.heard] == [Event.WARNING, Event.CLEARED] * 2


def test_an_alarm_that_becomes_critical_is_told_again_and_its_end_once() -> None:
    told = Told()
    raise_alarm()
    run(told)
    raise_alarm(severity=Severity.CRITICAL)
    run(told)
    raise_alarm()  # less severe again: nobody is told
    run(told)
    records.clear_alarm(Kind.LAG, NOON)
    run(told)
    assert [event for event, _ in told.heard] == [Event.WARNING, Event.CRITICAL, Event.CLEARED]


def test_a_round_without_news_only_reads() -> None:
    """A statement that writes would lock SQLite's file, for which settlement waits."""
    told = Told()
    raise_alarm()
    run(told)
    with CaptureQueriesContext(connection) as queries:
        run(told, at=NOON + SECOND)
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}


def test_only_severe_alarms_are_told_if_the_settings_say_so() -> None:
    told = Told()
    raise_alarm()
    run(told, lowest=Severity.CRITICAL)
    assert told.heard == []
    raise_alarm(severity=Severity.CRITICAL)
    run(told, lowest=Severity.CRITICAL)
    assert told.heard == [(Event.CRITICAL, "lag")]


def test_what_a_channel_did_not_accept_is_tried_again_later_and_later() -> None:
    told, other = Told(), Told("other")
    told.is_away = True
    raise_alarm()
    with capture_logs() as lines:
        run(told, other)
        at = NOON
        for attempts in range(1, 12):
            run(told, at=at + outbox.pause_after(attempts) - SECOND)  # too early
            at += outbox.pause_after(attempts)
            run(told, at=at)
    row = AlarmNotification.objects.get(channel="told")
    assert (row.attempts, row.error, row.state) == (12, "it is away", outbox.WAITING)
    assert other.heard == [(Event.WARNING, "lag")]
    assert [line["event"] for line in lines].count("alarm.notification_not_sent") == 1
    told.is_away = False
    run(told, at=at + outbox.pause_after(12))
    assert told.heard == [(Event.WARNING, "lag")]


def test_pauses_double_to_ten_minutes() -> None:
    assert [outbox.pause_after(attempts).total_seconds() for attempts in (1, 2, 3, 7, 8, 50)] == [
        5,
        10,
        20,
        320,
        600,
        600,
    ]


def test_an_alarm_that_ended_while_its_channel_was_away_is_not_sent() -> None:
    told = Told()
    told.is_away = True
    raise_alarm()
    run(told)
    records.clear_alarm(Kind.LAG, NOON)
    told.is_away = False
    run(told, at=NOON + timedelta(hours=1))
    assert told.heard == []
    assert AlarmNotification.objects.get().state == outbox.DROPPED


def test_a_warning_that_waits_gives_way_to_the_critical_alarm() -> None:
    told = Told()
    told.is_away = True
    raise_alarm()
    run(told)
    raise_alarm(severity=Severity.CRITICAL)
    told.is_away = False
    run(told, at=NOON + timedelta(hours=1))
    assert told.heard == [(Event.CRITICAL, "lag")]


def test_a_muted_kind_is_told_when_its_mute_has_ended() -> None:
    told = Told()
    mutes.mute(Kind.LAG, 1, by="operator", reason="maintenance", at=NOON)
    raise_alarm()
    raise_alarm(Kind.SPILL)
    run(told)
    assert told.heard == [(Event.WARNING, "spill")]
    run(told, at=NOON + timedelta(hours=1))
    assert told.heard == [(Event.WARNING, "spill"), (Event.WARNING, "lag")]


def test_what_waits_for_a_channel_that_the_settings_no_longer_name_is_dropped() -> None:
    gone, kept = Told("gone"), Told("kept")
    gone.is_away = True
    raise_alarm()
    run(gone, kept)
    run(kept)
    assert AlarmNotification.objects.get(channel="gone").state == outbox.DROPPED


def test_a_row_that_another_process_has_claimed_is_left_to_it() -> None:
    raise_alarm()
    second = Told()

    class First(Told):
        def send(self, notification: Notification) -> None:
            outbox.deliver([second], NOON)  # the other process runs while this one sends
            super().send(notification)

    first = First()
    run(first)
    assert (len(first.heard), second.heard) == (1, [])


def test_a_claim_ends_so_that_a_dead_process_does_not_keep_a_notification() -> None:
    raise_alarm()

    class Killed(Told):
        def send(self, notification: Notification) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Killed())
    told = Told()
    run(told, at=NOON + outbox.CLAIM - SECOND)
    assert told.heard == []
    run(told, at=NOON + outbox.CLAIM)
    assert told.heard == [(Event.WARNING, "lag")]

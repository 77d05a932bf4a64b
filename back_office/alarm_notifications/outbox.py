"""Notifications to send, in rows: at most one of each alarm, event and channel, tried until it is sent or of no use.

    alarm rows ──plan──▶ AlarmNotification (waiting) ──deliver──▶ sent
                                    └── dropped: the alarm is over, has become critical, or its channel is gone

Several web processes may do this at once: a row is claimed before its notification is sent. If a process dies between
sending and recording, the notification is sent again. Raises Django's database errors.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from back_office.alarm_notifications import metrics, mutes
from back_office.alarm_notifications.channels import Channel, NotSent
from back_office.alarm_notifications.notification import RAISED, Event, Notification
from back_office.models import AlarmNotification
from settlement.alarms.rules import Severity
from settlement.models import Alarm

log = structlog.get_logger(__name__)

WAITING, SENT, DROPPED = "waiting", "sent", "dropped"

CLAIM = timedelta(seconds=60)
"""How long a claimed row is left alone: longer than any attempt takes."""
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=10)
_MAX_DOUBLINGS = 7


def plan(channels: Sequence[Channel], lowest: Severity, at: datetime) -> None:
    """Adds the notifications that alarms call for, and drops those that nobody needs any more.

    `lowest`: alarms below this severity are not sent.
    """
    muted = mutes.muted(at)
    raised = [alarm for alarm in Alarm.objects.filter(cleared_at=None) if alarm.kind not in muted]
    told = _told(alarm.id for alarm in raised)
    for channel in channels:
        for alarm in raised:
            event = Event(alarm.severity)
            known = {event for event, name in told.get(alarm.id, ()) if name == channel.name}
            is_news = event not in known and Event.CRITICAL not in known
            if is_news and not (event is Event.WARNING and lowest is Severity.CRITICAL):
                _add(alarm.id, event, channel.name, at)
                if event is Event.CRITICAL:
                    _drop(AlarmNotification.objects.filter(alarm=alarm, channel=channel.name, event=Event.WARNING), at)
    _plan_cleared(at)
    unknown = AlarmNotification.objects.exclude(channel__in=[channel.name for channel in channels])
    _drop(unknown, at)


def _plan_cleared(at: datetime) -> None:
    """Adds the notification that an alarm is over, for channels that accepted its beginning; drops the others'."""
    of_raised = AlarmNotification.objects.filter(event__in=RAISED)
    _drop(of_raised.exclude(alarm__cleared_at=None), at)
    over = of_raised.filter(state=SENT, is_over=False).exclude(alarm__cleared_at=None)
    for alarm_id, channel in set(over.values_list("alarm_id", "channel")):
        _add(alarm_id, Event.CLEARED, channel, at)
        over.filter(alarm_id=alarm_id, channel=channel).update(is_over=True)


def _told(alarms: Iterable[int]) -> dict[int, list[tuple[Event, str]]]:
    told: dict[int, list[tuple[Event, str]]] = {}
    for row in AlarmNotification.objects.filter(alarm_id__in=list(alarms)):
        told.setdefault(row.alarm_id, []).append((Event(row.event), row.channel))
    return told


def _add(alarm_id: int, event: Event, channel: str, at: datetime) -> None:
    AlarmNotification.objects.get_or_create(
        alarm_id=alarm_id, event=event, channel=channel, defaults={"state": WAITING, "planned_at": at, "next_at": at}
    )


def _drop(rows: QuerySet[AlarmNotification], at: datetime) -> None:
    """Reads first: on SQLite an update that finds nothing locks the database, too, and settlement would wait for it."""
    waiting = list(rows.filter(state=WAITING).values_list("id", flat=True))
    if waiting:
        AlarmNotification.objects.filter(id__in=waiting, state=WAITING).update(state=DROPPED, ended_at=at)


def deliver(channels: Iterable[Channel], at: datetime) -> None:
    """Sends what is due, oldest first. A channel that fails is left alone until its pause is over."""
    for channel in channels:
        due = AlarmNotification.objects.filter(channel=channel.name, state=WAITING, next_at__lte=at).order_by("id")
        for row in due.select_related("alarm"):
            if _claim(row, at) and not _try(row, channel, at):
                break
        waiting = AlarmNotification.objects.filter(channel=channel.name, state=WAITING).count()
        metrics.WAITING.labels(channel.name).set(waiting)


def _claim(row: AlarmNotification, at: datetime) -> bool:
    """Whether this process, and no other, may send the notification now."""
    claimed = AlarmNotification.objects.filter(id=row.id, state=WAITING, next_at=row.next_at).update(next_at=at + CLAIM)
    return bool(claimed)


def _try(row: AlarmNotification, channel: Channel, at: datetime) -> bool:
    mine = AlarmNotification.objects.filter(id=row.id)
    try:
        channel.send(Notification.of(Event(row.event), row.alarm))
    except NotSent as error:
        metrics.FAILURES.labels(channel.name).inc()
        if row.attempts == 0:
            log.warning("alarm.notification_not_sent", channel=channel.name, kind=row.alarm.kind, error=str(error))
        mine.update(attempts=row.attempts + 1, error=str(error), next_at=at + pause_after(row.attempts + 1))
        return False
    mine.update(state=SENT, attempts=row.attempts + 1, error="", ended_at=at)
    log.info("alarm.notification_sent", channel=channel.name, kind=row.alarm.kind, notification=row.event)
    return True


def pause_after(attempts: int) -> timedelta:
    """Time until the next attempt: 5 s after the first one, doubled after each, 10 minutes at most."""
    return min(_FIRST_PAUSE * (1 << min(attempts - 1, _MAX_DOUBLINGS)), _LONGEST_PAUSE)


def newest(count: int) -> list[AlarmNotification]:
    return list(AlarmNotification.objects.select_related("alarm").order_by("-id")[:count])

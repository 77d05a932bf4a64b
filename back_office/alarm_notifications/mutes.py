"""Muted kinds of alarms: no notifications and no bar on the pages for a time. The page of alarms still lists them.

Raises Django's database errors.
"""

from datetime import datetime, timedelta

from back_office.models import AlarmMute
from settlement.alarms.rules import Kind

HOURS = (1, 4, 24)
"""For how long a kind can be muted; never for ever."""


def mute(kind: Kind, hours: int, *, by: str, reason: str, at: datetime) -> AlarmMute:
    """Mutes the kind from now on; an earlier mute of it ends."""
    values = {"until": at + timedelta(hours=hours), "by": by, "reason": reason}
    row, _ = AlarmMute.objects.update_or_create(kind=kind, defaults=values)
    return row


def end(kind: Kind) -> bool:
    """Ends a mute; returns False if there was none."""
    return bool(AlarmMute.objects.filter(kind=kind).delete()[0])


def muted(at: datetime) -> dict[str, AlarmMute]:
    """The mutes in force, by kind."""
    return {row.kind: row for row in AlarmMute.objects.filter(until__gt=at)}

"""Heartbeats in Django's own database: processes count theirs up, the web watches whether the counts change.

A reader uses its own clock to measure how long a count has not changed, so that a wrong clock anywhere, or a machine
that was suspended, looks like no failure.
"""

from collections.abc import Mapping
from typing import NamedTuple

from django.db.models import F
from django.utils.timezone import now

from settlement.models import Heartbeat

SETTLEMENT = "settlement"
BACKGROUND = "background"
"""Written by a scheduled task, so it shows that the worker, its broker and the schedule work."""
ACTIONS = "actions"
"""Of the worker that carries out what operators have asked for."""

BEAT_S = 2.0
"""Interval of the heartbeats of settlement and of the worker of actions."""
BACKGROUND_BEAT_S = 10.0


class Beat(NamedTuple):
    beats: int  # goes up while the process lives
    turns: int  # goes up while its main loop runs, too; 0 if it has none


def beat(name: str, turns: int = 0) -> None:
    """Counts one more beat. Raises Django's database errors."""
    changed = Heartbeat.objects.filter(name=name).update(beats=F("beats") + 1, turns=turns, beat_at=now())
    if not changed:
        Heartbeat.objects.get_or_create(name=name, defaults={"beats": 1, "turns": turns, "beat_at": now()})


def read() -> Mapping[str, Beat]:
    """The newest heartbeat of each process that has ever had one. Raises Django's database errors."""
    return {name: Beat(beats, turns) for name, beats, turns in Heartbeat.objects.values_list("name", "beats", "turns")}

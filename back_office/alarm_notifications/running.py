"""Sends notifications from a thread of the web, which also watches settlement and background work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django.utils.timezone import now

from back_office.alarm_notifications import outbox
from back_office.alarm_notifications.channels import channels
from settlement.alarms.rules import Severity

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_CLOSE_S = 10.0
"""How long a process that ends waits for the attempt it has begun."""


@contextmanager
def sending() -> Iterator[None]:
    """Sends until the end of the context. Does nothing if the settings name no channel."""
    if not channels():
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(stop,), name="notifications", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_CLOSE_S)


def _run(stop: threading.Event) -> None:
    known = channels()
    is_failing = False
    try:
        while not stop.wait(_EVERY_S):
            try:
                outbox.plan(known, Severity(settings.ALARM_NOTIFICATION_SEVERITY), now())
                outbox.deliver(known, now())
            except DatabaseError as error:
                if not is_failing:
                    log.warning("alarm.notifications_failed", error=str(error))
                is_failing = True
                connections.close_all()  # in case the connection is broken
            else:
                is_failing = False
    finally:
        connections.close_all()

"""Background work: options of its broker, and the schedule of its tasks."""

from pathlib import Path
from typing import Any

_ALWAYS: dict[str, dict[str, Any]] = {
    "beat": {"task": "settlement.tasks.beat", "schedule": 10.0, "options": {"expires": 10.0}},
    "clear-expired-sessions": {"task": "exchange_site.tasks.clear_expired_sessions", "schedule": 86_400.0},
    # A run that has not started when the next one is due expires: they must not pile up while no worker runs.
    "reconcile": {"task": "settlement.tasks.reconcile", "schedule": 60.0, "options": {"expires": 55.0}},
    "sweep": {"task": "settlement.tasks.sweep", "schedule": 3600.0, "options": {"expires": 3000.0}},
}


def schedule(archive_hour: int | None) -> dict[str, dict[str, Any]]:
    """`archive_hour`: hour (UTC) of the nightly archive; None: there is none."""
    if archive_hour is None:
        return _ALWAYS
    # Some minutes after the hour: the first block of the new day shows that the old one is complete.
    from celery.schedules import crontab  # here, because every process reads the settings, and few need Celery

    at = crontab(hour=archive_hour % 24, minute=15)
    return {**_ALWAYS, "archive": {"task": "archive.tasks.archive", "schedule": at, "options": {"expires": 3600.0}}}


def redis_options() -> dict[str, Any]:
    return {
        # Seconds until a task that a dead worker had received, but not started, is redelivered. Longer than any task
        # waits behind others, because a task that is only delayed must not be delivered twice.
        "visibility_timeout": 300,
        # Seconds to wait for an unreachable Redis; short, because an operator waits for the page that sends a task.
        "socket_connect_timeout": 2,
        "socket_timeout": 3,
        "socket_keepalive": True,
        "interval_start": 0.2,
        "connect_retries_timeout": 1,
    }


def folder_options(folder: Path) -> dict[str, Any]:
    """Without Redis, messages are files in this folder."""
    return {
        # The same folder for both directions: workers read the messages that are sent.
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "processed_folder": str(folder / "processed"),
        "control_folder": folder / "control",
    }

"""Housekeeping of the site itself. A task is safe to run twice."""

from celery import shared_task
from django.core.management import call_command


@shared_task
def clear_expired_sessions() -> None:
    """Logins that have run out stay in the database until someone sweeps."""
    call_command("clearsessions")

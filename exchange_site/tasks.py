"""Maintenance tasks of the site. Running one twice is safe."""

from celery import shared_task
from django.core.management import call_command


@shared_task
def clear_expired_sessions() -> None:
    """Expired sessions stay in the database until this deletes them."""
    call_command("clearsessions")

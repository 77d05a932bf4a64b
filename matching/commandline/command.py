"""Base class of all management commands of this project."""

from django.core.management import BaseCommand


class ProjectCommand(BaseCommand):
    """Starts without Django's system checks of URLs, admin and models, which import the whole web site.

    `exchange_site.startup` has already checked the settings and DATA_DIR, and ends the process if they are invalid, but
    it prints no warnings of checks. A command that opens addresses names the tag SETTINGS here, so that Django runs the
    checks of settings again and prints theirs.
    """

    requires_system_checks: tuple[str, ...] = ()

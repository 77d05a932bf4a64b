"""Base class of all management commands of this project."""

from django.core.management import BaseCommand


class ProjectCommand(BaseCommand):
    """Starts without Django's system checks of URLs, admin and models, which import the whole web site.

    `exchange_site.startup` has already checked the settings and DATA_DIR, and ends the process if they are invalid. It
    does not print warnings: a command that opens addresses of its own names the tag of the checks that give them.
    """

    requires_system_checks: tuple[str, ...] = ()

from typing import Any

from django.conf import settings

from exchange_site.operations import settings_page
from matching.commandline.command import ProjectCommand


class Command(ProjectCommand):
    help = "Print docs/settings.md: every setting with its default and its meaning."

    def handle(self, **options: Any) -> None:
        self.stdout.write(settings_page.page(settings.SETTING_DESCRIPTIONS), ending="")

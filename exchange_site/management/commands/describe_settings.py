from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from exchange_site.operations import settings_page


class Command(BaseCommand):
    help = "Print docs/settings.md: every setting with its default and its meaning."

    def handle(self, **options: Any) -> None:
        self.stdout.write(settings_page.page(settings.SETTING_DESCRIPTIONS), ending="")

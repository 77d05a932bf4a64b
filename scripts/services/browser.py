"""Chromium and its WebDriver. Each test run starts its own."""

import shutil

from scripts.services.packages import install_packages
from scripts.services.service import Service


class Browser(Service):
    name = "browser"
    programs = ("chromium", "chromedriver")

    def missing(self) -> str | None:
        lacking = [program for program in self.programs if not shutil.which(program)]
        return f"{' and '.join(lacking)} not installed" if lacking else None

    def install(self) -> None:
        if self.missing():
            # Without a font, pages show boxes; the browser's package does not include one.
            install_packages("chromium", "chromium-driver", "fonts-dejavu-core")

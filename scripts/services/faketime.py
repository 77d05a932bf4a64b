"""libfaketime, which gives a program another clock than the machine's."""

from pathlib import Path

from scripts.services.packages import install_packages
from scripts.services.service import Service


class Faketime(Service):
    name = "faketime"

    @property
    def library(self) -> Path | None:
        """For programs with several threads, to be named in LD_PRELOAD. Debian has a folder for each architecture."""
        return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)

    def missing(self) -> str | None:
        return None if self.library else "not installed"

    def install(self) -> None:
        install_packages("faketime")

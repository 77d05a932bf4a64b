"""cqlsh, the shell with which administrators apply the schema, in its own virtual environment.

Not among the packages that tests install: it brings a driver that overwrites the files of the one that we use.
"""

import sys
from pathlib import Path

from scripts.services.errors import ServiceError
from scripts.services.packages import cache_folder, run_quietly
from scripts.services.service import Service

_VERSION = "6.2.2"


class Cqlsh(Service):
    name = "cqlsh"

    @property
    def program(self) -> Path:
        return cache_folder() / f"cqlsh-{_VERSION}" / "bin" / "cqlsh"

    def missing(self) -> str | None:
        return None if self.program.exists() else "not installed"

    def install(self) -> None:
        folder = self.program.parents[1]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, f"cqlsh=={_VERSION}"]):
            if closing := run_quietly(command):
                raise ServiceError(f"cqlsh could not be installed; pip's last lines:\n{closing}")

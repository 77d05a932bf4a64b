"""Machines with keys: folders of one machine, or of several, that share a database."""

import os
import subprocess
import sys
from pathlib import Path

from matching.storage.key_files import KeyFolder
from tests.system.conftest import ROOT


class Office:
    """The machine with the root key, which runs no service."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{database}",
            "PLAIN_SOCKETS": "false",
        }

    @property
    def keys(self) -> KeyFolder:
        return KeyFolder(self.folder / "keys")

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def machine(folder: Path, office: Office, *names: str) -> KeyFolder:
    """A machine that got these files of the office before its first start."""
    keys = KeyFolder(folder / "keys")
    with keys.locked():
        for name in names:
            (keys.folder / name).write_bytes((office.keys.folder / name).read_bytes())
            (keys.folder / name).chmod(0o600)
    return keys

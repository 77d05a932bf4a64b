"""PostgreSQL with account postgres, over TCP on loopback."""

import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exchange_site.operations.free_addresses import HOST
from scripts.services.errors import ServiceError
from scripts.services.packages import install_packages
from scripts.services.service import Server, ask

_PROTOCOL = 3 << 16


@dataclass(frozen=True)
class Postgres(Server):
    password: str | None = None
    """Password of the account postgres; None: no password is required."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Additional settings, as in postgresql.conf."""

    name = "postgres"
    default_port = 5432
    stop_signal = signal.SIGINT  # fast shutdown; SIGTERM would wait for all sessions to end
    account = "postgres"  # it refuses to run as root

    def install(self) -> None:
        if not _program("postgres"):
            install_packages("postgresql")

    def command(self, folder: Path, port: int) -> list[str]:
        data = folder / "data"
        if not (data / "PG_VERSION").exists():
            self._make_cluster(data)
        # No Unix socket: the path of a test's folder may be too long for one.
        settings = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", **self.settings}
        return [_needed("postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]

    def _make_cluster(self, data: Path) -> None:
        make = [_needed("initdb"), "-D", str(data), "--username=postgres", "--encoding=UTF8", "--no-sync"]
        with tempfile.NamedTemporaryFile("w") as secret:
            if self.password is None:
                make.append("--auth=trust")
            else:
                secret.write(self.password)
                secret.flush()
                if account := self.identity().get("user"):
                    shutil.chown(secret.name, account)
                make += ["--auth=scram-sha-256", f"--pwfile={secret.name}"]
            made = subprocess.run(make, cwd=data, capture_output=True, text=True, check=False, **self.identity())
        if made.returncode:
            raise ServiceError(
                f"initdb could not create a cluster in {data}; its account needs access to that folder:\n"
                f"{made.stderr.strip()}"
            )

    def answers(self, port: int) -> bool:
        """Asks for a session as a client does: the answer 'R' (authentication) comes once sessions are accepted."""
        wish = b"user\0postgres\0database\0postgres\0\0"
        return ask(port, struct.pack(">ii", 8 + len(wish), _PROTOCOL) + wish)[:1] == b"R"


def _program(name: str) -> str | None:
    """Path of a server program: Debian keeps them in a folder for each version, not on PATH."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return shutil.which(name) or (str(kept[-1]) if kept else None)


def _needed(name: str) -> str:
    if program := _program(name):
        return program
    raise ServiceError(f"{name} is not installed; `make services` installs it")

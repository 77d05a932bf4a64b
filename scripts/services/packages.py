"""Installs programs from package registries: Debian packages, jars from a Maven repository."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.services.errors import ServiceError

CONFIG = Path(__file__).resolve().parent / "config"
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_LAST_LINES = 15


def cache_folder() -> Path:
    """Folder for programs that no package manager installs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "open-exchange-services"


def install_packages(*names: str) -> None:
    """Install Debian packages, as root or through sudo."""
    apt = shutil.which("apt-get")
    if not apt:
        raise ServiceError(f"apt-get is not available: install {' '.join(names)} with this system's package manager")
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and not shutil.which("sudo"):
        raise ServiceError(f"this needs root once: apt-get install {' '.join(names)}")
    install = [*as_root, apt, "install", "--yes", "--no-install-recommends", *names]
    if run_quietly(install) is not None:  # package lists of a new machine are empty or old
        run_quietly([*as_root, apt, "update"])
        closing = run_quietly(install)
        if closing is not None:
            raise ServiceError(f"apt-get could not install {' '.join(names)}; its last lines:\n{closing}")


def run_quietly(command: Sequence[str], **environment: str) -> str | None:
    """Run a command with more environment. Returns its last lines of output if it failed, else None."""
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "\n".join(done.stdout.splitlines()[-_LAST_LINES:]) if done.returncode else None


def java_17() -> str | None:
    """Path of Java 17: from PATH or JAVA_HOME, else Debian's. Cassandra 5.0 does not run on newer versions."""
    named = [shutil.which("java"), shutil.which("java", path=f"{os.environ.get('JAVA_HOME', '')}/bin")]
    kept = sorted(Path("/usr/lib/jvm").glob("*17*/bin/java"))
    for java in dict.fromkeys([*filter(None, named), *map(str, kept)]):
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        if re.search(r'version "17\b', told):
            return java
    return None


def jars_folder(name: str) -> Path:
    """Folder for the jars of config/NAME/pom.xml; it depends on the content of that file."""
    recipe = (CONFIG / name / "pom.xml").read_bytes() + _COPY_JARS.encode()
    return cache_folder() / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def install_jars(name: str) -> None:
    """Download the jars that config/NAME/pom.xml lists; install Maven and Java if they are missing."""
    if not java_17():
        install_packages("openjdk-17-jre-headless")
    if not shutil.which("mvn"):
        install_packages("maven")
    target = jars_folder(name)
    with file_lock(cache_folder() / f"{name}.lock"):
        if target.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            shutil.copy(CONFIG / name / "pom.xml", scratch)
            copy = [_COPY_JARS, "-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"]
            closing = run_quietly(["mvn", "--batch-mode", "--quiet", "--file", f"{scratch}/pom.xml", *copy])
            if closing is not None:
                raise ServiceError(f"Maven could not fetch the jars of {name}; its last lines:\n{closing}")
            # Last, so that an existing folder is always complete.
            Path(scratch, "jars").rename(target)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """A lock between processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

#!/usr/bin/env python3
"""The real servers and programs that tests use, from the system's packages, on loopback, without Docker.

    scripts/services.py start [NAME ...]     install what is missing, start what runs; again: nothing to do
    scripts/services.py stop [NAME ...]
    scripts/services.py status [NAME ...]    exit 1 where one is missing

Needs nothing but Python, so that it can come before everything else. A new server is a class with these four
methods and a line in SERVICES; tests ask for it with @pytest.mark.services("name").
"""

import argparse
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence

LAST_LINES = 15


class ServiceError(Exception):
    """One sentence: what is wrong, and what to do."""


class Service(ABC):
    """Something real that tests need and that no Python package brings."""

    name: str

    @abstractmethod
    def missing(self) -> str | None:
        """Why tests cannot use it, None where they can."""

    @abstractmethod
    def install(self) -> None:
        """Fetch its programs. Called only where they are missing."""

    def start(self) -> None:  # noqa: B027  (a program that tests start themselves has nothing to start)
        """Start the server and return once it answers; nothing to do where it runs."""

    def stop(self) -> None:  # noqa: B027
        """Stop what start() started; nothing to do where it does not run."""


class Browser(Service):
    """Chromium and its WebDriver; each test run starts and ends its own."""

    name = "browser"
    programs = ("chromium", "chromedriver")

    def missing(self) -> str | None:
        lacking = [program for program in self.programs if not shutil.which(program)]
        return f"{' and '.join(lacking)} not installed" if lacking else None

    def install(self) -> None:
        # A page without any font shows boxes; the browser's package does not bring one.
        install_packages("chromium", "chromium-driver", "fonts-dejavu-core")


SERVICES: dict[str, Service] = {service.name: service for service in (Browser(),)}


def install_packages(*names: str) -> None:
    """Install Debian packages, as root or through sudo."""
    advice = f"install {' '.join(names)} with this system's package manager"
    apt = shutil.which("apt-get")
    if not apt:
        raise ServiceError(f"there is no apt-get here: {advice}")
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and not shutil.which("sudo"):
        raise ServiceError(f"this needs root once: apt-get install {' '.join(names)}")
    install = [*as_root, apt, "install", "--yes", "--no-install-recommends", *names]
    if run_quietly(install) is not None:  # the lists of a fresh machine are empty or old
        run_quietly([*as_root, apt, "update"])
        closing = run_quietly(install)
        if closing is not None:
            raise ServiceError(f"apt-get could not {advice.partition(' with ')[0]}; it closed with\n{closing}")


def run_quietly(command: Sequence[str]) -> str | None:
    """Run a command; the last lines that it printed where it failed, None where it did not."""
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "\n".join(done.stdout.splitlines()[-LAST_LINES:]) if done.returncode else None


def start(service: Service) -> None:
    if service.missing():
        print(f"{service.name}: installing", flush=True)
        service.install()
    service.start()
    if reason := service.missing():
        raise ServiceError(f"{service.name}: {reason}, although its packages were installed")
    print(f"{service.name}: ready")


def stop(service: Service) -> None:
    service.stop()
    print(f"{service.name}: stopped")


def status(service: Service) -> None:
    if reason := service.missing():
        raise ServiceError(f"{service.name}: {reason}; `make services` installs it")
    print(f"{service.name}: ready")


ACTIONS = {"start": start, "stop": stop, "status": status}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Servers and programs that tests use.")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SERVICES)}; all where none is named")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SERVICES]
    if unknown:
        parser.error(f"no service {unknown[0]!r}; there is {', '.join(SERVICES)}")
    try:
        for name in options.names or SERVICES:
            ACTIONS[options.action](SERVICES[name])
    except (ServiceError, OSError) as error:
        print(f"services.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line of the servers that tests use; see the package."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from scripts.services import SERVICES, Server, Service, ServiceError


def start(services: Sequence[Service]) -> list[str]:
    """Installs programs one after the other, then starts all servers at once. Returns failures."""
    wanted = []
    failures = []
    for service in services:
        if service.missing():
            print(f"{service.name}: installing and starting", flush=True)
        try:
            if service.missing():
                service.install()
            wanted.append(service)
        except (ServiceError, OSError) as error:
            failures.append(f"{service.name}: {error}")
    with ThreadPoolExecutor() as pool:
        failures += filter(None, pool.map(_start_one, wanted))
    return failures


def _start_one(service: Service) -> str | None:
    began_s = time.monotonic()
    try:
        service.start()
    except (ServiceError, OSError) as error:
        return f"{service.name}: {error}"
    if reason := service.missing():
        return f"{service.name}: {reason}, although its packages were installed"
    print(f"{_place(service)}: ready after {time.monotonic() - began_s:.1f} s", flush=True)
    return None


def stop(services: Sequence[Service]) -> list[str]:
    failures = []
    for service in services:
        try:
            service.stop()
        except (ServiceError, OSError) as error:
            failures.append(f"{service.name}: {error}")
        else:
            print(f"{service.name}: stopped")
    return failures


def status(services: Sequence[Service]) -> list[str]:
    for service in services:
        if not service.missing():
            print(f"{_place(service)}: ready")
    return [f"{s.name}: {reason}; `make services` installs and starts it" for s in services if (reason := s.missing())]


def _place(service: Service) -> str:
    running = service.running() if isinstance(service, Server) else None
    return f"{service.name} at {running.address}, process {running.pid}" if running else service.name


ACTIONS: dict[str, Callable[[Sequence[Service]], list[str]]] = {"start": start, "stop": stop, "status": status}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="services", description="Servers and programs that tests use.")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SERVICES)}; default: all")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SERVICES]
    if unknown:
        parser.error(f"unknown service {unknown[0]!r}; the services are {', '.join(SERVICES)}")
    try:
        failures = ACTIONS[options.action]([SERVICES[name] for name in options.names or SERVICES])
    except KeyboardInterrupt:
        return 130
    for failure in failures:
        print(f"services: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

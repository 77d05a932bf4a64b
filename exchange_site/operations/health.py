"""What `/health/live` and `/health/ready` answer, in the web and in the workers.

An answer tells which check failed and how long each took, and nothing that would help an intruder: no address, no
version, no text of an error.
"""

import json
import time
from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import asdict, dataclass

from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder


@dataclass(frozen=True, slots=True)
class Check:
    """What one part of a process says about itself."""

    ok: bool
    latency_ms: float = 0.0


Probe = Callable[[], Check]


class Changing(Mapping[str, Probe]):
    """Probes of a process whose part changes: those that `now` gives each time that they are gone through."""

    def __init__(self, now: Callable[[], Mapping[str, Probe]]) -> None:
        self._now = now

    def __getitem__(self, name: str) -> Probe:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def items(self) -> ItemsView[str, Probe]:
        return self._now().items()  # all of one moment


def timed(ask: Callable[[], object], *failures: type[Exception]) -> Probe:
    """A probe that asks and takes the time; the named failures, and an answer that is False, are not ok.

    Anything else that is raised is a bug and stays one: the server answers 500 and logs it.
    """

    def probe() -> Check:
        began = time.perf_counter()
        try:
            ok = ask() is not False
        except failures:
            ok = False
        return Check(ok, round((time.perf_counter() - began) * 1000, 2))

    return probe


def answer(probes: Mapping[str, Probe], useful: Mapping[str, Probe] = {}) -> tuple[int, bytes]:
    """HTTP status and JSON body: 200 when every check is ok, else 503. No probes: whoever answers is alive.

    `useful` are checks of what a process can do without for a while: where only such fail it is "degraded", and 200.
    """
    needed = {name: probe() for name, probe in probes.items()}
    checks = {**needed, **{name: probe() for name, probe in useful.items()}}
    ok = all(check.ok for check in needed.values())
    status = "unavailable" if not ok else "ok" if all(check.ok for check in checks.values()) else "degraded"
    document = {"status": status, "checks": {name: asdict(check) for name, check in checks.items()}}
    return (200 if ok else 503), json.dumps(document).encode()


def database_answers() -> bool:
    """Read a row of a real table: an empty or unreadable database file would still answer SELECT 1."""
    return MigrationRecorder(connection).migration_qs.exists()


database = timed(database_answers, DatabaseError)

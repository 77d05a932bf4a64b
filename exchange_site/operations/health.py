"""Responses of `/health/live` and `/health/ready`, in the web and in the workers.

A response contains the result and duration of each check, and nothing that would help an attacker: no addresses, no
versions, no error texts.
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
    """Result of one health check."""

    ok: bool
    latency_ms: float = 0.0


Probe = Callable[[], Check]


class CurrentProbes(Mapping[str, Probe]):
    """Probes of a process whose role can change: every access calls `now` for the current ones."""

    def __init__(self, now: Callable[[], Mapping[str, Probe]]) -> None:
        self._now = now

    def __getitem__(self, name: str) -> Probe:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def items(self) -> ItemsView[str, Probe]:
        return self._now().items()  # all from the same moment


def timed(ask: Callable[[], object], *failures: type[Exception]) -> Probe:
    """A probe that calls `ask` and measures its time; one of `failures`, or the result False, is not ok.

    Any other exception is a bug and is not caught: the server answers 500 and logs it.
    """

    def probe() -> Check:
        began = time.perf_counter()
        try:
            ok = ask() is not False
        except failures:
            ok = False
        return Check(ok, round((time.perf_counter() - began) * 1000, 2))

    return probe


def answer(probes: Mapping[str, Probe], optional: Mapping[str, Probe] = {}) -> tuple[int, bytes]:
    """HTTP status and JSON body: 200 if every check is ok (or there is none), else 503.

    `optional`: checks of services that the process can do without; if only these fail, the status is "degraded", 200.
    """
    required = {name: probe() for name, probe in probes.items()}
    checks = {**required, **{name: probe() for name, probe in optional.items()}}
    ok = all(check.ok for check in required.values())
    status = "unavailable" if not ok else "ok" if all(check.ok for check in checks.values()) else "degraded"
    document = {"status": status, "checks": {name: asdict(check) for name, check in checks.items()}}
    return (200 if ok else 503), json.dumps(document).encode()


def database_answers() -> bool:
    """Reads a row of a real table, because SELECT 1 also succeeds on an empty database file."""
    return MigrationRecorder(connection).migration_qs.exists()


database = timed(database_answers, DatabaseError)

"""200 operators have the overview open while the market runs: no error, the same rate of settlement, flat memory.

    OPERATORS_S=60 python -m pytest -m acceptance -s tests/system/test_many_operators.py

An open overview asks for its changing parts every 2 s, which each of the operators does here with a session of his own.
"""

import http.client
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import pytest

from tests.matching.small_exchange import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(3600)]

OPERATORS = 200
PERIOD_S = 2.0
"""Of the page's requests."""
LASTS_S = float(os.environ.get("OPERATORS_S", "300"))
ALONE_S = LASTS_S / 2
READY_S = 400.0
LONGEST_ANSWER_S = 60.0
SAME_RATE = 0.9
"""The demo market sends 40 commands a second, so the number of its trades varies by some percent by itself."""
MAX_GROWTH = 1.10

SESSIONS = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from back_office.access import sessions
for number in range({count}):
    user = User.objects.create_user(f"operator-{{number}}", is_staff=True)
    user.groups.add(Group.objects.get(name="operator"))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session[sessions.BEGAN_AT] = session[sessions.ACTIVE_AT] = sessions.now_s()
    session.create()
    print("session", session.session_key)
"""
"""Without 200 logins, which would be measured too: a password takes its time."""


@dataclass(slots=True)
class Seen:
    answers: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str, took_s: float) -> None:
        with self.lock:
            self.answers[answer] += 1
            self.times_s.append(took_s)


@dataclass(frozen=True, slots=True)
class Exchange:
    environment: dict[str, str]
    supervisor: "subprocess.Popen[bytes]"

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["DATA_DIR"])

    def sessions(self, count: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", SESSIONS.format(count=count)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("session ")]

    def trades(self) -> int:
        with closing(sqlite3.connect(f"file:{self.data_dir}/exchange.sqlite3?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT COUNT(*) FROM settled_trades").fetchone()[0])

    def rate(self, during: Callable[[], object]) -> float:
        """Settled trades a second meanwhile."""
        began_s, first = time.monotonic(), self.trades()
        during()
        return (self.trades() - first) / (time.monotonic() - began_s)

    def web_memory(self) -> int:
        """Resident bytes of gunicorn and its worker."""
        found = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
                words = (process / "cmdline").read_bytes().split(b"\0")
                if f"DATA_DIR={self.data_dir}".encode() in environment and b"exchange_site.asgi" in words:
                    pages = int((process / "statm").read_text().split()[1])
                    found += pages * os.sysconf("SC_PAGE_SIZE")
            except OSError:
                continue  # it has ended
        assert found, "the web does not run"
        return found


@pytest.fixture
def exchange(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Exchange]:
    log = tmp_path / "terminal.log"
    with log.open("wb") as terminal:
        supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "run_exchange"],
            env=process_environment,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "The exchange is running." in log.read_text(), "the exchange to be ready", READY_S)
        yield Exchange(process_environment, supervisor)
    finally:
        supervisor.terminate()
        supervisor.wait(timeout=120)


def watch(address: str, session: str, seen: Seen, delay_s: float, ends_s: float) -> None:
    """What an open overview does, until `ends_s` of the monotonic clock."""
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST_ANSWER_S)
    next_s = time.monotonic() + delay_s
    while next_s < ends_s:
        time.sleep(max(0.0, next_s - time.monotonic()))
        began_s = time.monotonic()
        try:
            connection.request("GET", "/admin/overview/live/", headers={"Cookie": f"sessionid={session}"})
            answer = connection.getresponse()
            text = answer.read()
            kind = str(answer.status) if answer.status != 200 or b"live-tiles" in text else "another page"
        except http.client.RemoteDisconnected:  # the web closes connections that have long been idle
            connection.close()
            kind = "reconnected"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            kind = type(error).__name__
        seen.note(kind, time.monotonic() - began_s)
        next_s = max(next_s + PERIOD_S, time.monotonic())
    connection.close()


def watched_by_all(address: str, sessions: list[str], seen: Seen, lasts_s: float) -> None:
    ends_s = time.monotonic() + lasts_s
    threads = [
        threading.Thread(target=watch, args=(address, session, seen, PERIOD_S * number / len(sessions), ends_s))
        for number, session in enumerate(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.acceptance("200 operators on the overview: no error, settlement's rate the same, memory flat")
def test_200_operators_on_the_overview(exchange: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    sessions, address = exchange.sessions(OPERATORS), exchange.environment["WEB_ADDRESS"]
    assert len(sessions) == OPERATORS
    warm_up, seen = Seen(), Seen()
    watched_by_all(address, sessions, warm_up, 2 * PERIOD_S)  # the first answers fill caches and threads
    memory = exchange.web_memory()
    before = exchange.rate(lambda: time.sleep(ALONE_S))
    meanwhile = exchange.rate(lambda: watched_by_all(address, sessions, seen, LASTS_S))
    after = exchange.rate(lambda: time.sleep(ALONE_S))
    grown = exchange.web_memory() / memory
    times_ms = [1000 * one for one in seen.times_s]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{OPERATORS} operators for {LASTS_S:.0f} s: {dict(seen.answers)}\n"
            f"an answer takes {median(times_ms):.0f} ms, 99 of 100 at most {quantiles(times_ms, n=100)[98]:.0f} ms\n"
            f"trades a second: {before:.1f} before, {meanwhile:.1f} meanwhile, {after:.1f} after\n"
            f"memory of the web: {memory / 2**20:.0f} MiB before, {grown:.3f} of that after\n"
        )
    assert set(seen.answers) <= {"200", "reconnected"}
    assert meanwhile >= SAME_RATE * min(before, after)
    assert grown <= MAX_GROWTH

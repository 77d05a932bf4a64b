"""Faults of a running exchange while a browser shows its overview: when it turns red, what it says, and what remains.

    python -m pytest -m acceptance -s tests/system/test_watched_faults.py

prints the table of docs/back-office-measurements.md. The exchange is that of `make run`, so what is killed is started
again.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import JavascriptException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from scripts.services.processes import family
from tests.matching.small_exchange import until

pytestmark = [pytest.mark.processes, pytest.mark.services("browser"), pytest.mark.timeout(3600)]

READY_S = 400.0
"""The first start compiles the kernel."""
NOTICED_S = 60.0
"""Ten seconds on an idle machine."""
HEALED_S = 300.0
CALM_S = 10.0
POLL_S = 0.1

SEEN = """
    const text = (found) => found ? found.innerText.replace(/\\s+/g, " ").trim() : "";
    return {
        critical: text(document.querySelector(".office-alarms.critical")),
        warning: text(document.querySelector(".office-alarms.warning")),
        stale: document.querySelector(".stale #live-time") ? "the site does not answer" : "",
        isOverview: Boolean(document.getElementById("live-tiles")),
    };
"""
"""What the open page shows, without asking for another one."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    during: Callable[["Watched"], AbstractContextManager[object]]
    lasts_s: float
    alarms: frozenset[str]  # kinds that it may raise; all others are false
    is_red: bool = False  # whether the page must turn red
    is_warned_of: bool = False  # whether it must at least show a warning
    heals: bool = True  # whether the page is calm soon after its end


@dataclass(frozen=True, slots=True)
class Outcome:
    fault: str
    shown_after_s: float | None
    color: str
    text: str
    kinds: tuple[str, ...]
    calm_after_s: float | None  # from the end of the fault; None: it does not heal soon

    @property
    def row(self) -> str:
        shown = "not shown" if self.shown_after_s is None else f"{self.shown_after_s:.1f}, {self.color}"
        calm = "later" if self.calm_after_s is None else f"{self.calm_after_s:.0f}"
        beginning = re.sub(r"^(?:\d+ )?(?:(?:critical|warnings?),? )*", "", self.text.partition(": ")[0])
        return f"| {self.fault} | {shown} | {beginning or '–'} | {calm} |"


@dataclass(frozen=True, slots=True)
class Watched:
    """An exchange under `make run`, and a browser that shows its overview."""

    supervisor: "subprocess.Popen[bytes]"
    data_dir: Path
    browser: Chrome
    address: str

    def open_overview(self) -> None:
        self.browser.get(f"http://{self.address}/admin/")
        if fields := self.browser.find_elements(By.NAME, "username"):
            fields[0].send_keys("admin")
            self.browser.find_element(By.NAME, "password").send_keys(
                (self.data_dir / "admin-password").read_text().strip()
            )
            self.browser.find_element(By.NAME, "password").submit()
        until(lambda: self.browser.find_elements(By.ID, "live-tiles"), "the overview", NOTICED_S)

    def process(self, word: str) -> int:
        """The oldest process whose command line has that word."""
        found = []
        for pid in family(self.supervisor.pid):
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:
                continue  # it has ended
            if any(argument.endswith(word) for argument in arguments):
                found.append(pid)
        assert found, f"no process of {word} runs"
        return min(found)

    def seen(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.browser.execute_script(SEEN)
        except JavascriptException:  # the page is being replaced
            found = {"critical": "", "warning": "", "stale": "", "isOverview": False}
        return found

    def is_calm(self) -> bool:
        seen = self.seen()
        return seen["isOverview"] and not (seen["critical"] or seen["warning"] or seen["stale"])

    def alarms(self) -> dict[int, str]:
        """The kinds of all alarms in the database, by their number."""
        with closing(sqlite3.connect(f"file:{self.data_dir}/exchange.sqlite3?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT id, kind FROM alarms").fetchall())

    def wait_until_calm(self) -> float:
        """Waits until the page has been calm for CALM_S; returns the seconds until then, without these."""
        began_s = calm_since_s = time.monotonic()

        def has_been_calm() -> bool:
            nonlocal calm_since_s
            now_s = time.monotonic()
            if not self.is_calm():
                calm_since_s = now_s
            return now_s - calm_since_s >= CALM_S

        until(has_been_calm, "a calm overview", HEALED_S)
        return calm_since_s - began_s

    def watch(self, fault: Fault) -> Outcome:
        """A fault that has to be seen lasts until it is, on a slow machine too."""
        known = self.alarms()
        shown_after_s, color, text = None, "", ""
        began_s = time.monotonic()
        with fault.during(self):
            while (passed_s := time.monotonic() - began_s) < fault.lasts_s or (
                (fault.is_red or fault.is_warned_of) and shown_after_s is None and passed_s < NOTICED_S
            ):
                seen = self.seen()
                red = seen["critical"] or seen["stale"]
                if shown_after_s is None and (found := red or (fault.is_warned_of and seen["warning"])):
                    shown_after_s, color, text = passed_s, "red" if red else "yellow", found
                time.sleep(POLL_S)
        calm_after_s = self.wait_until_calm() if fault.heals else None
        kinds = tuple(sorted({kind for number, kind in self.alarms().items() if number not in known}))
        return Outcome(fault.name, shown_after_s, color, text, kinds, calm_after_s)


def stopped(word: str) -> Callable[[Watched], AbstractContextManager[object]]:
    @contextmanager
    def during(watched: Watched) -> Iterator[None]:
        pid = watched.process(word)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return during


def killed(word: str) -> Callable[[Watched], AbstractContextManager[object]]:
    @contextmanager
    def during(watched: Watched) -> Iterator[None]:
        pid = watched.process(word)
        os.kill(pid, signal.SIGKILL)
        yield
        assert watched.process(word) != pid

    return during


@contextmanager
def locked(watched: Watched) -> Iterator[None]:
    """Another program writes, for as long as this lasts: readers are answered, writers wait."""
    with closing(sqlite3.connect(watched.data_dir / "exchange.sqlite3", timeout=60, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")


@contextmanager
def renamed(watched: Watched) -> Iterator[None]:
    """As if the file were on a disk that is away: nothing opens it. What has it open goes on."""
    file, away = watched.data_dir / "exchange.sqlite3", watched.data_dir / "exchange.sqlite3.away"
    file.rename(away)
    try:
        yield
    finally:
        away.rename(file)


SILENT = frozenset(("settlement_silent",))
AWAY = frozenset(("store_unavailable", "spill"))
BACKGROUND = frozenset(("background_silent",))
ACTIONS = frozenset(("actions_silent",))

FAULTS = (
    Fault("settlement stopped for 30 s", stopped("run_settlement"), 30.0, SILENT, is_red=True),
    Fault("settlement stopped for 120 s", stopped("run_settlement"), 120.0, SILENT | {"engine_halted"}, is_red=True),
    Fault("settlement killed", killed("run_settlement"), 20.0, SILENT),
    Fault("engine killed", killed("run_engine"), 20.0, frozenset(("engine_silent",))),
    Fault("SQLite locked for 15 s", locked, 15.0, AWAY, is_red=True),
    Fault("web killed", killed("exchange_site.asgi"), 20.0, frozenset()),
    Fault("database file renamed for 20 s", renamed, 20.0, AWAY | ACTIONS, is_red=True),
    Fault("worker killed", killed("exchange_site.celery"), 20.0, BACKGROUND),
    Fault("worker stopped", stopped("exchange_site.celery"), 20.0, BACKGROUND, is_warned_of=True),
    Fault("worker of actions killed", killed("run_actions"), 20.0, ACTIONS),
    Fault("worker of actions stopped", stopped("run_actions"), 20.0, ACTIONS, is_warned_of=True),
)


@pytest.fixture
def watched(process_environment: dict[str, str], tmp_path: Path, browser: Chrome) -> Iterator[Watched]:
    with watching(process_environment, tmp_path / "terminal.log", browser) as running:
        yield running


@contextmanager
def watching(environment: dict[str, str], log: Path, browser: Chrome) -> Iterator[Watched]:
    with log.open("wb") as terminal:
        supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "run_exchange"],
            env=environment,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "The exchange is running." in log.read_text(), "the exchange to be ready", READY_S)
        running = Watched(supervisor, Path(environment["DATA_DIR"]), browser, environment["WEB_ADDRESS"])
        running.open_overview()
        yield running
    finally:
        browser.get("about:blank")
        supervisor.terminate()
        supervisor.wait(timeout=120)


def table(outcomes: Sequence[Outcome]) -> str:
    head = ["| fault | shown after s | what the page says | calm again after s |", "|---|---:|---|---:|"]
    return "\n".join([*head, *(outcome.row for outcome in outcomes)])


@pytest.mark.acceptance("an operator who watches the overview sees each fault, and no false alarm remains")
def test_an_operator_sees_each_fault_and_afterwards_a_calm_page(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.wait_until_calm()
    assert watched.alarms() == {}, "a first start raises no alarm"
    see_all(watched, FAULTS, capsys)


def see_all(watched: Watched, faults: Sequence[Fault], capsys: pytest.CaptureFixture[str]) -> None:
    """Causes one fault after the other, prints the table, and checks it."""
    outcomes = []
    for fault in faults:
        outcomes.append(watched.watch(fault))
        with capsys.disabled():
            sys.stdout.write(f"{outcomes[-1]}\n")
    with capsys.disabled():
        sys.stdout.write(f"\n{table(outcomes)}\n")
    for fault, outcome in zip(faults, outcomes, strict=True):
        assert set(outcome.kinds) <= fault.alarms, outcome
        if fault.is_red or fault.is_warned_of:
            assert outcome.shown_after_s is not None, outcome
        if fault.is_red:
            assert outcome.color == "red", outcome

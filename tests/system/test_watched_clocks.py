"""The clock of one program of a running exchange is set forward by an hour, and back, while a browser watches.

    python -m pytest -m acceptance -s tests/system/test_watched_clocks.py

What is silent is judged by monotonic clocks, so nothing may turn red. A session ends if the web's clock says that
nobody has used it for an hour. The engine's clock is another matter: block times never decrease, so the alarm of a
clock that is ahead is right, and stays until the other clocks have reached it. The same holds for the schedule of
background work, which is silent until its clock has reached the times that were planned.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from scripts.services import Faketime
from tests.system.test_watched_faults import Fault, Watched, see_all, watching

pytestmark = [pytest.mark.processes, pytest.mark.services("browser", "faketime"), pytest.mark.timeout(3600)]

PROGRAMS = {
    "settlement": "run_settlement",
    "web": "exchange_site.asgi",
    "worker of actions": "run_actions",
    "worker": "exchange_site.celery",
    "engine": "run_engine",
}
"""In this order, because nothing is calm after the last two. Each with a word of its command line."""
HOUR = "+3600"
LASTS_S = 20.0
"""Twice as long as any alarm takes."""


def forward(word: str, clocks: Path) -> Callable[[Watched], AbstractContextManager[object]]:
    @contextmanager
    def during(watched: Watched) -> Iterator[None]:
        pid = watched.process(word)
        assert Faketime.name in Path(f"/proc/{pid}/maps").read_text(), f"{word} has the machine's clock"
        (clocks / word).write_text(HOUR)
        try:
            yield
        finally:
            (clocks / word).write_text("+0")
        assert watched.process(word) == pid, "it was started again"
        if not watched.is_calm():
            watched.open_overview()  # the session may have ended

    return during


@pytest.fixture
def clocks(tmp_path: Path) -> Path:
    folder = tmp_path / "clocks"
    folder.mkdir()
    for word in PROGRAMS.values():
        (folder / word).write_text("+0")
    return folder


@pytest.fixture
def watched(process_environment: dict[str, str], clocks: Path, tmp_path: Path, browser: Chrome) -> Iterator[Watched]:
    environment = {
        **process_environment,
        "PYTHONPATH": str(Path(__file__).parent / "clocks"),
        "TEST_CLOCKS": str(clocks),
        "TEST_CLOCK_LIBRARY": str(Faketime().library),
    }
    with watching(environment, tmp_path / "terminal.log", browser) as running:
        yield running


@pytest.mark.acceptance("a program whose clock is set forward by an hour raises no false alarm")
def test_a_clock_that_is_set_forward_raises_no_false_alarm(
    watched: Watched, clocks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.wait_until_calm()
    faults = [
        Fault(f"clock of {name} forward 1 h", forward(PROGRAMS[name], clocks), LASTS_S, frozenset())
        for name in ("settlement", "web", "worker of actions")
    ]
    # Celery's schedule waits until the clock reaches again what was planned while it was ahead.
    late = frozenset(("background_silent",))
    faults.append(
        Fault("clock of worker forward 1 h", forward(PROGRAMS["worker"], clocks), LASTS_S, late, heals=False),
    )
    ahead = late | {"engine_clock_ahead"}
    of_engine = forward(PROGRAMS["engine"], clocks)
    faults.append(
        Fault("clock of engine forward 1 h", of_engine, LASTS_S, ahead, is_warned_of=True, heals=False),
    )
    see_all(watched, faults, capsys)

"""Under `make run` a killed engine comes back, and the web answers meanwhile."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.readiness import is_ready
from scripts.services.processes import birth, family
from tests.matching.small_exchange import until

PATIENCE_S = 400
"""The first start compiles the kernel on a machine that runs other tests too."""

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


@pytest.fixture
def exchange(process_environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The programs of the Procfile; all are ready."""
    log = tmp_path / "terminal.log"
    with log.open("wb") as terminal:
        running = subprocess.Popen(
            [sys.executable, "manage.py", "run_exchange"],
            env=process_environment,
            stdout=terminal,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: is_welcome(running, log), "the exchange to be ready", PATIENCE_S)
        yield running
    finally:
        running.terminate()
        running.wait(timeout=120)


def is_welcome(running: subprocess.Popen[bytes], log: Path) -> bool:
    said = log.read_text()
    assert running.poll() is None, said
    return "The exchange is running." in said


def process_of(exchange: subprocess.Popen[bytes], command: str) -> int:
    """The only child of the supervisor whose command line has that word."""
    found = [pid for pid in family(exchange.pid) if command in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
    return min(found)


def programs(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    document = json.loads((Path(environment["DATA_DIR"]) / "programs.json").read_text())
    return {program["name"]: program for program in document["programs"]}


def alarms(environment: dict[str, str]) -> list[str]:
    """The kinds of all alarms that there have been."""
    file = Path(environment["DATA_DIR"]) / "exchange.sqlite3"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return [kind for (kind,) in database.execute("SELECT kind FROM alarms")]


def test_a_killed_engine_is_started_again_while_the_web_answers(
    exchange: subprocess.Popen[bytes], process_environment: dict[str, str], tmp_path: Path
) -> None:
    assert alarms(process_environment) == [], "settlement has only caught up with its new subscription"
    engine = process_of(exchange, "run_engine")
    others = [process_of(exchange, command) for command in ("run_settlement", "run_gateway", "demo_market")]

    os.kill(engine, signal.SIGKILL)

    until(lambda: programs(process_environment)["engine"]["restarts"] == 1, "the restart", PATIENCE_S)
    with urllib.request.urlopen(f"http://{process_environment['WEB_ADDRESS']}/health/live", timeout=10) as answer:
        assert answer.status == 200
    engine_url = f"http://{process_environment['ENGINE_HTTP_ADDRESS']}/health/ready"
    until(lambda: is_ready(engine_url), "the engine to be ready again", PATIENCE_S)
    assert all(birth(pid) is not None for pid in others)
    assert {name: one["restarts"] for name, one in programs(process_environment).items()} == {
        "settlement": 0,
        "engine": 1,
        "gateway": 0,
        "actions": 0,
        "web": 0,
        "worker": 0,
        "demo": 0,
    }
    terminal = (tmp_path / "terminal.log").read_text()
    assert "engine was ended by signal 9 (Killed); starting it again" in terminal

    exchange.terminate()

    assert exchange.wait(timeout=120) == 0
    assert not (Path(process_environment["DATA_DIR"]) / "programs.json").exists()

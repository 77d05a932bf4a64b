"""The worker of actions as a process, with keys: killed between any two steps, and started by its command."""

import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.commandline.own_keys import LOCAL_KEY, network_in
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import until
from tests.system.conftest import DATABASE, ROOT, Process, Start
from tests.system.killed_actions import STEPS

pytestmark = pytest.mark.processes


@pytest.fixture
def engine(start: Start) -> Process:
    """An engine that takes keys; the folder has one of each role."""
    running = start("run_engine", PLAIN_SOCKETS="false").wait_until_ready()
    with client(running) as opened:
        opened.call(DEFINITIONS)
    return running


def client(engine: Process) -> Client:
    return Client(engine.address("COMMAND"), make_network=network_in(engine.data_dir, LOCAL_KEY))


def balance(engine: Process) -> int:
    """Of account 1, in whole BTC."""
    with client(engine) as opened:
        found = [row[2] for row in opened.state()["balances"] if row[:2] == [1, "BTC"]]
    return found[0] // 10**8 if found else 0


def act(engine: Process, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.killed_actions", *arguments],
        cwd=ROOT,
        env=engine.environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_worker_that_is_killed_between_any_two_steps_applies_each_request_once(engine: Process) -> None:
    told = [json.loads(line) for line in act(engine, "kill")]
    print("\n".join(map(str, told)))  # noqa: T201
    assert [one["step"] for one in told] == [f"{when} {step}" for step in STEPS for when in ("before", "after")]
    for one in told:
        assert one["ended"] == [-signal.SIGKILL, 0]
        assert one["states"][1] == "done"
        assert one["answer"] == "1 BTC were credited to account 1."
        assert one["told"] == 1
    assert balance(engine) == len(told)
    states = {one["step"]: one["states"][0] for one in told}
    assert (states["before claim"], states["before keep_answer"]) == ("approved", "carrying_out")
    assert (states["after append"], states["after keep_answer"]) == ("carrying_out", "done")
    assert {one["step"]: one["sendings"] for one in told}["after post"] == 2


def test_a_web_that_is_killed_while_it_asks_or_approves_leaves_all_or_nothing(engine: Process) -> None:
    told = [json.loads(line) for line in act(engine, "kill_web")]
    print("\n".join(map(str, told)))  # noqa: T201
    assert [one["ended"] for one in told] == [-signal.SIGKILL] * 4
    assert [one["left"] for one in told] == [[], [], ["waiting"], ["waiting"]]
    assert [one["found"] for one in told] == [["approved"]] * 4
    assert [one["told"] for one in told] == [["request.ask", "request.approve"]] * 4


def answers(database: Path) -> dict[str, str]:
    """Of each kind of request that has ended."""
    with closing(sqlite3.connect(database)) as opened:
        return dict(opened.execute("SELECT kind, answer FROM action_requests WHERE ended_at_ns IS NOT NULL").fetchall())


def heartbeats(database: Path) -> int:
    with closing(sqlite3.connect(database)) as opened:
        rows = opened.execute("SELECT beats FROM heartbeats WHERE name = 'actions'").fetchall()
    return int(rows[0][0]) if rows else 0


def test_run_actions_carries_out_beats_and_stops(engine: Process, start: Start) -> None:
    http = free_http_address()
    shared = {name: value for name, value in engine.environment.items() if name.startswith(("ENGINE_", "PLAIN_"))}
    worker = start("run_actions", data_dir=engine.data_dir, **{**shared, "ACTIONS_HTTP_ADDRESS": http})
    database = engine.data_dir / DATABASE
    until(lambda: heartbeats(database) >= 2 or worker.popen.poll() is not None, "two heartbeats", 120)
    act(engine, "ask", "1")
    act(engine, "ask_with_other_keys")
    until(lambda: len(answers(database)) == 3, "the requests to end", 60)
    assert answers(database) == {
        "deposit": "1 BTC were credited to account 1.",
        "cancel_all": "0 orders of account 1 cancelled.",
        "instrument_status": "BTC-USD is now halted.",
    }
    assert balance(engine) == 1
    with urllib.request.urlopen(f"http://{http}/health/ready", timeout=10) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert 'action_requests_ended_total{kind="deposit",state="done"} 1.0' in metrics
    assert 'action_requests_open{state="waiting"} 0.0' in metrics
    assert worker.stop() == 0
    assert worker.lines == ["carried out 3 requests\n"]

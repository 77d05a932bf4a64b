"""Background work over a real Redis that is killed or frozen: worker and beat reconnect by themselves."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from scripts.services import Redis, Running, Server
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT, Start
from tests.system.forking_site import Program
from tests.system.test_store_away import ready

pytestmark = [pytest.mark.processes, pytest.mark.services("redis"), pytest.mark.timeout(300)]

SEND_S = 30  # includes the start of the process
PATIENCE_S = 120.0  # several processes start, and reconnect with growing pauses

# The worker of the Procfile, but with a reconciliation every second.
WORKER = """
from exchange_site.celery import app
app.conf.beat_schedule["reconcile"]["schedule"] = 1.0
options = "--quiet worker --beat --pool threads --concurrency 2 --without-mingle --without-gossip"
app.start(options.split())
"""
SEND = """
import time
import exchange_site.celery
from settlement import errors, tasks
began = time.monotonic()
try:
    {call}
    print("sent")
except errors.CannotRun as refusal:
    print(refusal)
assert time.monotonic() - began < 10
"""
SOON = "tasks.reconcile_soon()"
TWICE = 'for _ in range(2): tasks.reconcile.apply_async(("operator",), task_id="the-same")'


class Worker(Program):
    """A Celery worker with beat."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(["-c", WORKER], environment)
        self.environment = environment

    def said(self, words: str, since: int = 0) -> bool:
        return any(words in line for line in self.lines[since:])


@pytest.fixture
def redis_server(launch: Callable[[Server], Running]) -> Running:
    return launch(Redis())


@pytest.fixture
def exchange(start: Start, redis_server: Running) -> dict[str, str]:
    """Starts engine and settlement. Returns their environment, with the test's Redis as broker."""
    engine = start("run_engine").wait_until_ready()
    environment = {**engine.environment, "REDIS_URL": f"redis://{redis_server.address}/0"}
    addresses = {name: value for name, value in environment.items() if name.startswith("ENGINE_")}
    start("run_settlement", data_dir=engine.data_dir, SETTLEMENT_HTTP_ADDRESS=free_http_address(), **addresses)
    return environment


@pytest.fixture
def worker(exchange: dict[str, str]) -> Iterator[Worker]:
    process = Worker(exchange)
    yield process
    process.stop()


def runs(environment: dict[str, str]) -> list[tuple[bool, str]]:
    """Whether each reconciliation was in order, and its source."""
    with closing(sqlite3.connect(Path(environment["DATA_DIR"]) / "exchange.sqlite3")) as database:
        return [(bool(ok), source) for ok, source in database.execute("SELECT ok, source FROM reconciliation_runs")]


def send(environment: dict[str, str], call: str = SOON) -> str:
    program = [sys.executable, "-c", SEND.format(call=call)]
    done = subprocess.run(
        program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=SEND_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_worker_and_beat_reconcile_over_redis_and_survive_its_restart(
    worker: Worker, exchange: dict[str, str], redis_server: Running
) -> None:
    until(lambda: (True, "schedule") in runs(exchange), "beat to send a run and the worker to do it", PATIENCE_S)

    assert send(exchange, TWICE) == "sent\n"
    until(
        lambda: [source for _, source in runs(exchange)].count("operator") == 2, "the task that came twice", PATIENCE_S
    )
    assert all(ok for ok, _ in runs(exchange))

    said = len(worker.lines)
    redis_server.kill()
    until(lambda: worker.said("Cannot connect to redis://", said), "the worker to say that Redis is gone", PATIENCE_S)
    assert send(exchange) == "The task queue is unavailable because its broker does not answer: check REDIS_URL.\n"
    before = len(runs(exchange))
    redis_server.restart()
    until(lambda: len(runs(exchange)) > before + 1, "runs to go on by themselves", PATIENCE_S)
    assert worker.said("Connected to redis://", said)
    assert worker.popen.poll() is None
    assert all(ok for ok, _ in runs(exchange))


def test_a_frozen_redis_is_reported_quickly_and_does_not_make_the_site_unready(
    exchange: dict[str, str], redis_server: Running, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {**exchange, "WEB_ADDRESS": address, "SECRET_KEY": "only for tests, and long enough to be accepted"}
    program = [sys.executable, "-m", "gunicorn", "--config", "exchange_site/gunicorn_conf.py", "exchange_site.asgi"]
    fine = dict.fromkeys(("store", "database", "settlement", "background", "actions"), True)
    web = subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: ready(address) == (200, {**fine, "broker": True}), "the web", PATIENCE_S)
        redis_server.freeze()
        assert send(exchange) == "The task queue is unavailable because its broker does not answer: check REDIS_URL.\n"
        assert ready(address) == (200, {**fine, "broker": False})
        redis_server.resume()
        assert send(exchange) == "sent\n"
        assert ready(address) == (200, {**fine, "broker": True})
    finally:
        web.terminate()
        web.wait(30)

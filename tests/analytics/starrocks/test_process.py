"""The real command as a process: killed at random moments, its health, its metrics, its end by a signal."""

import json
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from exchange_site.settings import BASE_DIR
from settlement.stores.base import Store
from tests.analytics.starrocks.server import Cluster
from tests.analytics.starrocks.test_loading import assert_all_arrived_once
from tests.archive.days import chain_of_days, settle
from tests.matching.small_exchange import until
from tests.settlement.file_stores import store_in

KILLS = 5
DEADLINE_S = 120.0
COMMAND = [sys.executable, "manage.py", "run_analytics"]

pytestmark = [pytest.mark.slow, pytest.mark.processes]


@pytest.fixture
def settled(process_environment: dict[str, str], django_db_blocker: DjangoDbBlocker) -> Iterator[Store]:
    """The store of the process."""
    with store_in(Path(process_environment["DATA_DIR"]) / "exchange.sqlite3", django_db_blocker) as store:
        settle(store, chain_of_days().blocks)
        yield store


@pytest.fixture
def environment(process_environment: dict[str, str], url: str) -> dict[str, str]:
    return {**process_environment, "STARROCKS_URL": url}


def while_it_runs(process: "subprocess.Popen[bytes]", condition: Callable[[], bool], what: str) -> None:
    """Waits for the condition. Fails if the process ends before."""
    until(lambda: condition() or process.poll() is not None, what, DEADLINE_S)
    assert condition(), "the command has ended"


def _ends_or_has(process: "subprocess.Popen[bytes]", cluster: Cluster, steps: int) -> Callable[[], bool]:
    return lambda: len(cluster.steps) >= steps or process.poll() is not None


def test_killed_at_random_steps_it_loads_everything_once(
    cluster: Cluster, environment: dict[str, str], settled: Store, seed: int
) -> None:
    chosen = random.Random(seed)
    for _ in range(KILLS):
        seen = len(cluster.steps) + chosen.randint(1, 12)
        process = subprocess.Popen([*COMMAND, "--once"], cwd=BASE_DIR, env=environment, stdout=subprocess.DEVNULL)
        until(_ends_or_has(process, cluster, seen), "the steps", DEADLINE_S)
        process.kill()
        process.wait()
    done = subprocess.run(
        [*COMMAND, "--once"], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_all_arrived_once(cluster, settled)


def test_it_tells_its_health_and_metrics_and_stops_at_a_signal(
    cluster: Cluster, environment: dict[str, str], settled: Store
) -> None:
    address = f"http://{environment['ANALYTICS_HTTP_ADDRESS']}"

    def page(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    cluster.faults["begin"] = ["500"] * 12  # longer than one call repeats it
    process = subprocess.Popen(COMMAND, cwd=BASE_DIR, env=environment)
    while_it_runs(process, lambda: page("/health/ready")[0] == 503, "an unready health check")
    while_it_runs(process, lambda: page("/health/ready")[0] == 200, "a ready health check")
    assert json.loads(page("/health/ready")[1])["checks"]["starrocks"]["ok"]
    last = settled.projected().block_number
    while_it_runs(process, lambda: f"analytics_loaded_block {float(last)}" in page("/metrics")[1], "the last block")
    metrics = page("/metrics")[1]
    assert "analytics_block_lag 0.0" in metrics
    assert "analytics_starrocks_up 1.0" in metrics
    assert 'analytics_rows_loaded_total{table="trades"} 14.0' in metrics
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    assert_all_arrived_once(cluster, settled)


def test_two_processes_do_not_load_at_once(cluster: Cluster, environment: dict[str, str], settled: Store) -> None:
    process = subprocess.Popen(COMMAND, cwd=BASE_DIR, env=environment)
    while_it_runs(process, lambda: "commit" in cluster.steps, "a commit")
    other = subprocess.run(
        [*COMMAND, "--once"], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "Another process loads StarRocks from" in other.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0

"""The worker: every row of the store arrives once, whatever fails and whenever it is killed."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from analytics.errors import StarRocksRefused, StarRocksUnavailable
from analytics.starrocks import loading
from analytics.starrocks.http import StarRocksHttp
from analytics.starrocks.progress import Progress, ProgressFile
from analytics.starrocks.transactions import Transactions
from analytics.tables import ARCHIVED, NAMES
from archive import store_rows
from matching.storage.disk import LocalDisk
from settlement.stores.base import Store
from tests.analytics.starrocks.server import FAULTS, STEPS, Cluster
from tests.settlement.commandline.conftest import refused, run

ALL = 1 << 62


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches, and several loads of a table in a batch."""
    monkeypatch.setattr(store_rows, "_BATCH_BLOCKS", 7)
    monkeypatch.setattr(loading, "_ROWS_A_LOAD", 10)


@pytest.fixture
def progress(tmp_path: Path) -> ProgressFile:
    return ProgressFile(tmp_path / "analytics" / "starrocks.json", LocalDisk())


@pytest.fixture
def services(settled: Store, transactions: Transactions, progress: ProgressFile) -> loading.Services:
    return loading.Services(settled, transactions, progress, stop=lambda: False, wait=lambda seconds: None)


def expected(store: Store) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, Callable[[], list[Any]]] = {
        "trades": lambda: store.get_trades_by_sequence_range(0, ALL, 10_000),
        "ledger_events": lambda: store.get_ledger_events(0, ALL),
        "orders": lambda: store.get_orders_by_sequence_range(0, ALL, 10_000),
    }
    return {name: [row._asdict() for row in read()] for name, read in rows.items()}


def arrived(cluster: Cluster) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name in ARCHIVED:
        rows = [row for _, row in sorted(cluster.tables[name].items())]
        found[name] = [{key: row[key] for key in row if key not in ("day", "shard")} for row in rows]
    return found


def assert_all_arrived_once(cluster: Cluster, store: Store) -> None:
    assert arrived(cluster) == expected(store)
    assert set(cluster.commits.values()) == {1}
    assert set(cluster.tables) == {*NAMES, "trading_days"}


def test_every_row_arrives_once(cluster: Cluster, services: loading.Services, settled: Store) -> None:
    assert loading.run(services, is_once=True) == settled.projected().block_number
    assert_all_arrived_once(cluster, settled)
    assert loading.run(services, is_once=True) == 0


def test_rows_have_the_day_of_their_time(cluster: Cluster, services: loading.Services, settled: Store) -> None:
    loading.run(services, is_once=True)
    assert {row["day"] for row in cluster.tables["trades"].values()} == {"2026-01-30", "2026-01-31", "2026-02-01"}


def test_faults_at_random_steps_leave_one_copy(
    cluster: Cluster, services: loading.Services, settled: Store, seed: int
) -> None:
    draw = random.Random(seed)
    kinds = [fault for fault in FAULTS if "time-out" not in fault]
    cluster.faults = {step: [draw.choice(["", "", "", *kinds]) for _ in range(40)] for step in STEPS}
    tries = 0
    while True:
        try:
            loading.run(services, is_once=True)
            break
        except (StarRocksUnavailable, StarRocksRefused):
            tries += 1
            assert tries < 100
    assert_all_arrived_once(cluster, settled)


class Killed(BaseException):
    pass


class DyingHttp(StarRocksHttp):
    """Dies after a number of requests."""

    left = 0

    def request(self, *arguments: Any) -> dict[str, Any]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().request(*arguments)


def test_a_run_that_is_killed_often_ends_with_one_copy(
    cluster: Cluster, http: StarRocksHttp, services: loading.Services, settled: Store, seed: int
) -> None:
    draw = random.Random(seed)
    dying = DyingHttp(http.cluster)
    mortal = services._replace(transactions=Transactions(dying, sleep=lambda seconds: None))
    kills = 0
    while True:
        dying.left = draw.randint(3, 30)
        try:
            loading.run(mortal, is_once=True)
            break
        except Killed:
            kills += 1
            assert kills < 1000
    assert kills
    assert_all_arrived_once(cluster, settled)


def test_blocks_that_come_while_it_is_dead_do_not_change_the_batch(
    cluster: Cluster, http: StarRocksHttp, store: Store, services: loading.Services, progress: ProgressFile
) -> None:
    """Its labels stay the same, because the end of the batch was written before."""
    dying = DyingHttp(http.cluster)
    dying.left = 4  # the first table is prepared, and not committed
    with pytest.raises(Killed):
        loading.run(services._replace(transactions=Transactions(dying)), is_once=True)
    begun = progress.read()
    assert begun.through == 7
    (prepared,) = cluster.transactions
    loading.run(services, is_once=True)
    assert cluster.commits[prepared] == 1
    assert progress.read().run == begun.run


def test_blocks_from_a_dead_letter_on_wait(
    cluster: Cluster, services: loading.Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = type("Letter", (), {"block_number": 10})
    monkeypatch.setattr(services.store, "dead_letters", lambda: [letter])
    assert loading.run(services, is_once=True) == 9
    monkeypatch.setattr(services.store, "dead_letters", list)
    loading.run(services, is_once=True)
    assert_all_arrived_once(cluster, services.store)


def test_a_service_waits_while_starrocks_is_away(cluster: Cluster, services: loading.Services, settled: Store) -> None:
    waits: list[float] = []
    reports: list[loading.Status] = []
    cluster.faults["state"] = ["500"] * 14
    done = settled.projected().block_number
    loading.run(
        services._replace(
            wait=waits.append,
            report=reports.append,
            stop=lambda: bool(reports) and reports[-1].loaded_block == done,
        )
    )
    assert waits[:2] == [1.0, 2.0]
    assert [report.is_up for report in reports[:3]] == [False, False, True]
    assert "answered with status 500" in reports[0].error
    assert_all_arrived_once(cluster, settled)


def test_an_empty_store_loads_nothing(
    store: Store, cluster: Cluster, transactions: Transactions, progress: ProgressFile
) -> None:
    services = loading.Services(store, transactions, progress, stop=lambda: False, wait=lambda seconds: None)
    assert loading.run(services, is_once=True) == 0
    assert not cluster.steps


def test_a_damaged_progress_file_is_told(progress: ProgressFile, tmp_path: Path) -> None:
    progress.write(Progress("a", 5, 0))
    assert progress.read() == Progress("a", 5, 0)
    (tmp_path / "analytics" / "starrocks.json").write_text("{}")
    with pytest.raises(StarRocksRefused, match="is damaged: delete it, and all blocks are loaded again"):
        progress.read()


def test_the_command_loads_and_says_how_much(
    cluster: Cluster, url: str, settled: Store, settings: Settings, data_dir: Path
) -> None:
    settings.STARROCKS_URL, settings.STARROCKS_HOSTS = url, []
    assert run("run_analytics", "--once") == f"loaded {settled.projected().block_number} blocks\n"
    assert_all_arrived_once(cluster, settled)
    assert json.loads((data_dir / "analytics" / "starrocks.json").read_text())["through"] == 0


def test_the_command_without_a_server_ends_with_2(settled: Store, settings: Settings) -> None:
    settings.STARROCKS_URL = ""
    assert refused("run_analytics") == (2, "There is no StarRocks to load: set STARROCKS_URL.")


def test_the_command_with_a_wrong_password_ends_with_2(url: str, settled: Store, settings: Settings) -> None:
    settings.STARROCKS_URL, settings.STARROCKS_HOSTS = url.replace("secret", "guess"), []
    code, sentence = refused("run_analytics", "--once")
    assert code == 2
    assert sentence.endswith("refuses the user of STARROCKS_URL: check its password and its rights.")

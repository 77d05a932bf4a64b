"""A backup is made while everything runs, and restored on what could be another machine."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from scripts.services import Postgres, Running, Server
from tests.matching.small_exchange import until
from tests.system.cassandra_exchange import new_keyspace, on
from tests.system.conftest import Process, Start
from tests.system.test_settlement_kills import appended_block, market
from tests.system.test_store_away import last_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

BLOCKS = 20


def ended(process: Process) -> tuple[int, str]:
    """Exit code and standard error of a program that ends by itself."""
    until(lambda: process.popen.poll() is not None, f"{process.arguments[0]} to end", 120)
    return process.stop(), "".join(process.errors)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.services("postgres")),
        pytest.param("scylla", marks=pytest.mark.services("cassandra")),
    ]
)
def elsewhere_store(request: pytest.FixtureRequest, start: Start) -> dict[str, str]:
    """Settings of an empty store on what could be another machine."""
    if request.param == "sqlite":
        return {}
    if request.param == "postgres":
        launch: Callable[[Server], Running] = request.getfixturevalue("launch")
        return {"DATABASE_URL": f"postgres://postgres@{launch(Postgres()).address}/postgres"}
    return on(request.getfixturevalue("cassandra"), new_keyspace())


def test_a_backup_that_was_made_under_load_and_the_log_give_everything_back(
    start: Start, tmp_path: Path, elsewhere_store: dict[str, str]
) -> None:
    """The backup of a SQLite store is restored into a store of every kind."""
    engine = start("run_engine", ENABLE_LOCAL_WAL="true").wait_until_ready()
    shared: dict[str, Any] = {"ENABLE_LOCAL_WAL": "true", **engine.stream_settings}
    settlement = start(
        "run_settlement", data_dir=engine.data_dir, **shared, SETTLEMENT_HTTP_ADDRESS=free_http_address()
    )
    place = tmp_path / "backup"
    with market(engine, seed=5):
        until(lambda: appended_block(settlement) > BLOCKS, "blocks to be settled", 120)
        made = start("backup", str(place), "--json", data_dir=engine.data_dir, **shared)
        code, error = ended(made)
        assert code == 0, error
        backed_up = json.loads("".join(made.lines))["block"]
        until(lambda: appended_block(settlement) > backed_up + BLOCKS, "later blocks", 120)
    last = last_block(engine)
    for process in (settlement, engine):
        process.stop(signal.SIGKILL)

    # Another machine: only the log's disk was saved.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    shutil.copytree(engine.data_dir / "wal", elsewhere / "wal")
    shared |= elsewhere_store
    restored = start("restore", str(place), "--json", data_dir=elsewhere, **shared)
    code, error = ended(restored)
    assert code == 0, error
    done = json.loads("".join(restored.lines))
    assert (done["first_block"], done["last_block"], done["verified"]["ok"]) == (1, last, True)
    assert BLOCKS < backed_up < last
    again = start("run_engine", data_dir=elsewhere, **shared).wait_until_ready()
    assert again.lines[0].startswith(f"leader at block {last}, epoch 2"), again.lines


def test_what_only_the_running_engine_holds_comes_back(start: Start, tmp_path: Path) -> None:
    engine = start("run_engine").wait_until_ready()
    shared: dict[str, Any] = {"data_dir": engine.data_dir, **engine.stream_settings}
    settlement = start("run_settlement", **shared, SETTLEMENT_HTTP_ADDRESS=free_http_address())
    place = tmp_path / "backup"
    with market(engine, seed=6):
        until(lambda: appended_block(settlement) > BLOCKS, "blocks to be settled", 120)
        code, error = ended(start("backup", str(place), **shared))
        assert code == 0, error
        settlement.stop(signal.SIGKILL)
        newest = last_block(engine)
        until(lambda: last_block(engine) > newest + BLOCKS, "blocks that are in the ring only", 120)
    last = last_block(engine)
    for path in engine.data_dir.glob("exchange.sqlite3*"):
        path.unlink()

    restored = start("restore", str(place), "--json", **shared)
    code, error = ended(restored)
    assert code == 0, error
    done = json.loads("".join(restored.lines))
    assert (done["last_block"], done["verified"]["ok"]) == (last, True)

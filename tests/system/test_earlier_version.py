"""This version continues with the DATA_DIR of an earlier version, once it is migrated to today's record layout.

`data/layout_1.tar.xz` was made by commit f511f97 with the write-ahead log on and a snapshot every 20 blocks: 1,400
random commands, settlement stopped after block 65, the engine killed at block 101. It holds the SQLite store, the CSV
trail, the write-ahead log and the snapshots of blocks 72 and 96.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from exchange_site.configuration.folders import make_private
from exchange_site.operations.free_addresses import free_http_address
from matching.client import Client
from matching.core.blocks import Block
from matching.core.layout import LAYOUT_VERSION
from matching.storage.input_logs.wal import WalLog
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT, START_S, Process, Start

pytestmark = pytest.mark.processes

ARCHIVE = Path(__file__).parent / "data" / "layout_1.tar.xz"
LAST_BLOCK, STATE_HASH = 101, "3aedce8c5ab2fe20"
LAST_COMMAND = 1351
MIGRATION_BLOCK = LAST_BLOCK + 1
SETTLED_BLOCK = 65


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    folder = tmp_path / "left-behind"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    make_private(folder)  # earlier versions did not ask for it; the message of this one says how
    return folder


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(data_dir), "PLAIN_SOCKETS": "true", **settings}


def manage(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(data_dir, **settings),
        capture_output=True,
        text=True,
        check=False,
    )


def migrate(data_dir: Path) -> subprocess.CompletedProcess[str]:
    done = manage(data_dir, "migrate_layout", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


KILLED = """
import os, signal, django
django.setup()
from django.core.management import call_command
from matching.core.engine import Engine
from matching.storage.snapshot_files import SnapshotFolder
from settlement.maintenance import layout_migration
from settlement.stores.sql.store import SqlStore

def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def then_kill(function):
    def run(*arguments, **options):
        function(*arguments, **options)
        kill()
    return run

{step}
call_command("migrate_layout")
"""
"""A program that migrates and is killed; `step` replaces one function."""

STEPS = {
    "before anything is written": "layout_migration.fill = kill",
    "while the store is filled": "SqlStore.append_blocks = then_kill(SqlStore.append_blocks)",
    "before the chain is executed": "layout_migration._engine_at_end = kill",
    "before the migration block is stored": "Engine.migrate = kill",
    "after the migration block is stored": "layout_migration._write_snapshot = kill",
    "after the snapshot is written": "SnapshotFolder.write = then_kill(SnapshotFolder.write)",
}


@pytest.mark.parametrize("with_snapshots", [True, False])
def test_store_log_and_snapshots_of_an_earlier_version_are_migrated_and_settled(
    start: Start, left_behind: Path, *, with_snapshots: bool
) -> None:
    if not with_snapshots:
        shutil.rmtree(left_behind / "snapshots")
    migrated = json.loads(migrate(left_behind).stdout)
    assert (migrated["filled"], migrated["begun"]) == (LAST_BLOCK - SETTLED_BLOCK, [MIGRATION_BLOCK])
    settings = {"ENABLE_LOCAL_WAL": "true", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    engine = start("run_engine", data_dir=left_behind, **settings).wait_until_ready()
    assert engine.lines[0].startswith(f"leader at block {MIGRATION_BLOCK}, epoch 2")
    assert (f"(snapshot of block {MIGRATION_BLOCK}" in engine.lines[0]) == with_snapshots
    with Client(engine.address("COMMAND")) as client:
        (answer,) = client.call([{"command": "cancel_all", "account": 1}])
    assert answer.command_sequence == LAST_COMMAND + 1
    settlement = start(
        "run_settlement", "--until-block", str(MIGRATION_BLOCK + 1), data_dir=left_behind, **addresses(engine)
    )
    until(lambda: settlement.popen.poll() is not None, "settlement of every block", START_S)
    settlement.stop()
    assert settlement.popen.returncode == 0, "".join(settlement.errors)
    for command in ("verify_settlement", "reconcile", "rebuild_projections", "verify_settlement"):
        done = manage(left_behind, command)
        assert done.returncode == 0, done.stdout + done.stderr
    trades = manage(left_behind, "list_trades", "--from-sequence", "1", "--to-sequence", "9999", "--json")
    assert len(json.loads(trades.stdout)) > 100


@pytest.mark.parametrize(("service", "code"), [("run_engine", 1), ("run_settlement", 2)])
def test_a_service_does_not_continue_an_earlier_layout_and_names_the_command_that_migrates(
    start: Start, left_behind: Path, service: str, code: int
) -> None:
    engine = start(service, data_dir=left_behind, ENABLE_LOCAL_WAL="true", SETTLEMENT_HTTP_ADDRESS=free_http_address())
    until(lambda: engine.popen.poll() is not None, "the refusal", START_S)
    engine.stop()
    assert engine.popen.returncode == code
    said = "".join(engine.errors)
    assert "record layout 1" in said
    assert "then run manage.py migrate_layout." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("step", STEPS)
def test_a_migration_that_is_killed_is_completed_by_the_next_run(left_behind: Path, step: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(step=STEPS[step])],
        cwd=ROOT,
        env=environment(left_behind),
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    migrate(left_behind)
    assert json.loads(migrate(left_behind).stdout) == {
        "filled": 0,
        "begun": [],
        "block": MIGRATION_BLOCK,
        "written": [],
        "layout_version": LAYOUT_VERSION,
    }
    with sqlite3.connect(left_behind / "exchange.sqlite3") as database:
        rows = database.execute("SELECT number, hash, data FROM engine_blocks ORDER BY number").fetchall()
    blocks = [Block.decode(data) for _, _, data in rows]
    assert [block.number for block in blocks] == list(range(1, MIGRATION_BLOCK + 1))
    assert f"{blocks[-1].prev_hash:016x}" == STATE_HASH
    assert len({block.layout_version for block in blocks[:-1]}) == 1
    assert blocks[-1].layout_version == LAYOUT_VERSION


def test_the_blocks_of_an_earlier_version_are_signed_from_the_first_one_on(start: Start, left_behind: Path) -> None:
    migrate(left_behind)
    settings = {"PLAIN_SOCKETS": "false", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    settlement = start("run_settlement", data_dir=left_behind, **settings)
    until(lambda: any("settlement.started" in line for line in settlement.errors), "settlement to start", 120)
    assert settlement.stop() == 0
    anchor = left_behind / "checkpoints" / "settlement-local.jsonl"
    assert json.loads(anchor.read_bytes())["checkpoint"]["block"] == MIGRATION_BLOCK
    done = manage(left_behind, "verify_settlement", "--anchor", str(anchor), PLAIN_SOCKETS="false")
    assert f"Signed checkpoints: 2 compared, the same up to block {MIGRATION_BLOCK}." in done.stdout, done.stderr


def test_blocks_in_the_log_of_an_earlier_version_keep_their_hash(left_behind: Path) -> None:
    blocks = list(WalLog(left_behind / "wal").blocks())
    assert blocks[-1].number == LAST_BLOCK
    assert f"{blocks[-1].hash:016x}" == STATE_HASH
    assert blocks[0].number <= SETTLED_BLOCK


def addresses(engine: Process) -> dict[str, str]:
    return {name: value for name, value in engine.environment.items() if name.startswith(("ENGINE_", "SETTLEMENT_"))}

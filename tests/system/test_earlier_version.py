"""This version continues with the DATA_DIR of an earlier version, once it is migrated to today's record layout.

The archives in `data/` were made with the write-ahead log on and a snapshot every 20 blocks: 1,400 random commands,
settlement stopped in the middle, the engine killed at the end. They hold the SQLite store, the CSV trail, the
write-ahead log and snapshots. `layout_1.tar.xz` is of commit f511f97, `layout_2.tar.xz` of commit d99c674, the last
one before the rules of version 2.
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
from typing import NamedTuple

import pytest

from exchange_site.configuration.folders import make_private
from exchange_site.operations.free_addresses import free_http_address
from matching.client import Client
from matching.core.block_diff import difference_when_executed
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.layout import LAYOUT_VERSION
from matching.core.migrations.state import is_same_in_earlier_layout
from matching.storage.disk import LocalDisk
from matching.storage.input_logs.wal import WalLog
from matching.storage.snapshot_files import SnapshotFolder
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT, START_S, Process, Start

pytestmark = pytest.mark.processes


class Earlier(NamedTuple):
    """What an archive holds."""

    layout: int
    settled_block: int
    last_block: int
    state_hash: str
    last_command: int
    last_prices: dict[str, int]  # in ticks, by symbol

    @property
    def begun(self) -> list[int]:
        """The blocks in which the following layouts begin."""
        return [self.last_block + number for number in range(1, LAYOUT_VERSION - self.layout + 1)]

    def unpack(self, folder: Path) -> Path:
        with tarfile.open(Path(__file__).parent / "data" / f"layout_{self.layout}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        make_private(folder)  # earlier versions did not ask for it; the message of this one says how
        return folder


OF_1 = Earlier(1, 65, 101, "3aedce8c5ab2fe20", 1351, {"ETH-BTC": 499, "ONE-WEI": 1499999996})
OF_2 = Earlier(2, 69, 108, "2b9f05e38838210c", 1341, {"ETH-WEI": 1000002, "ONE-WEI": 1500000003})
BOTH = pytest.mark.parametrize("earlier", [OF_1, OF_2], ids=["layout-1", "layout-2"])


@pytest.fixture
def left_behind(tmp_path: Path, earlier: Earlier) -> Path:
    return earlier.unpack(tmp_path / "left-behind")


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
from matching.core.blocks import Block
from matching.core.clients import MIGRATION_CLIENT
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

def then_kill_at_a_layout(function):
    def run(store, rows):
        function(store, rows)
        if Block.decode(rows[-1].data).requests["client"].tolist() == [MIGRATION_CLIENT]:
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
    "after one migration block is stored": "SqlStore.append_blocks = then_kill_at_a_layout(SqlStore.append_blocks)",
    "after the migration blocks are stored": "layout_migration._write_snapshot = kill",
    "after the snapshot is written": "SnapshotFolder.write = then_kill(SnapshotFolder.write)",
}


@BOTH
@pytest.mark.parametrize("with_snapshots", [True, False])
def test_store_log_and_snapshots_of_an_earlier_version_are_migrated_and_settled(
    start: Start, left_behind: Path, earlier: Earlier, *, with_snapshots: bool
) -> None:
    if not with_snapshots:
        shutil.rmtree(left_behind / "snapshots")
        shutil.rmtree(left_behind / "settlement-snapshots", ignore_errors=True)
    migrated = json.loads(migrate(left_behind).stdout)
    assert (migrated["filled"], migrated["begun"]) == (earlier.last_block - earlier.settled_block, earlier.begun)
    settings = {"ENABLE_LOCAL_WAL": "true", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    engine = start("run_engine", data_dir=left_behind, **settings).wait_until_ready()
    assert engine.lines[0].startswith(f"leader at block {earlier.begun[-1]}, epoch 2")
    assert (f"(snapshot of block {earlier.begun[-1]}" in engine.lines[0]) == with_snapshots
    with Client(engine.address("COMMAND")) as client:
        (answer,) = client.call([{"command": "cancel_all", "account": 1}])
    assert answer.command_sequence == earlier.last_command + 1
    settlement = start(
        "run_settlement", "--until-block", str(earlier.begun[-1] + 1), data_dir=left_behind, **addresses(engine)
    )
    until(lambda: settlement.popen.poll() is not None, "settlement of every block", START_S)
    settlement.stop()
    assert settlement.popen.returncode == 0, "".join(settlement.errors)
    for command in ("verify_settlement", "reconcile", "rebuild_projections", "verify_settlement"):
        done = manage(left_behind, command)
        assert done.returncode == 0, done.stdout + done.stderr
    trades = manage(left_behind, "list_trades", "--from-sequence", "1", "--to-sequence", "9999", "--json")
    assert len(json.loads(trades.stdout)) > 100


@BOTH
@pytest.mark.parametrize(("service", "code"), [("run_engine", 1), ("run_settlement", 2)])
def test_a_service_does_not_continue_an_earlier_layout_and_names_the_command_that_migrates(
    start: Start, left_behind: Path, earlier: Earlier, service: str, code: int
) -> None:
    engine = start(service, data_dir=left_behind, ENABLE_LOCAL_WAL="true", SETTLEMENT_HTTP_ADDRESS=free_http_address())
    until(lambda: engine.popen.poll() is not None, "the refusal", START_S)
    engine.stop()
    assert engine.popen.returncode == code
    said = "".join(engine.errors)
    assert f"record layout {earlier.layout}" in said
    assert "then run manage.py migrate_layout." in said
    assert "Traceback" not in said


@BOTH
@pytest.mark.parametrize("step", STEPS)
def test_a_migration_that_is_killed_is_completed_by_the_next_run(
    left_behind: Path, earlier: Earlier, step: str
) -> None:
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
        "block": earlier.begun[-1],
        "written": [],
        "layout_version": LAYOUT_VERSION,
    }
    with sqlite3.connect(left_behind / "exchange.sqlite3") as database:
        rows = database.execute("SELECT number, hash, data FROM engine_blocks ORDER BY number").fetchall()
    blocks = [Block.decode(data) for _, _, data in rows]
    assert [block.number for block in blocks] == list(range(1, earlier.begun[-1] + 1))
    old, begun = blocks[: earlier.last_block], blocks[earlier.last_block :]
    assert {block.layout_version for block in old} == {earlier.layout}
    assert f"{begun[0].prev_hash:016x}" == earlier.state_hash
    assert [block.layout_version for block in begun] == list(range(earlier.layout + 1, LAYOUT_VERSION + 1))


@BOTH
def test_the_blocks_of_an_earlier_version_are_signed_from_the_first_one_on(
    start: Start, left_behind: Path, earlier: Earlier
) -> None:
    migrate(left_behind)
    settings = {"PLAIN_SOCKETS": "false", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    settlement = start("run_settlement", data_dir=left_behind, **settings)
    until(lambda: any("settlement.started" in line for line in settlement.errors), "settlement to start", 120)
    assert settlement.stop() == 0
    anchor = left_behind / "checkpoints" / "settlement-local.jsonl"
    assert json.loads(anchor.read_bytes())["checkpoint"]["block"] == earlier.begun[-1]
    done = manage(left_behind, "verify_settlement", "--anchor", str(anchor), PLAIN_SOCKETS="false")
    assert f"Signed checkpoints: 2 compared, the same up to block {earlier.begun[-1]}." in done.stdout, done.stderr


@BOTH
def test_blocks_in_the_log_of_an_earlier_version_keep_their_hash(left_behind: Path, earlier: Earlier) -> None:
    blocks = list(WalLog(left_behind / "wal").blocks())
    assert blocks[-1].number == earlier.last_block
    assert f"{blocks[-1].hash:016x}" == earlier.state_hash
    assert blocks[0].number <= earlier.settled_block


@BOTH
def test_the_events_of_an_earlier_version_give_the_state_of_its_snapshots_and_the_last_prices(
    left_behind: Path, earlier: Earlier
) -> None:
    folder = SnapshotFolder(LocalDisk(), left_behind / "snapshots", 3)
    engine, compared = Engine(), 0
    for block in stored_and_logged(left_behind):
        assert not difference_when_executed(engine, block)
        if block.number in folder.numbers():
            compared += is_same_in_earlier_layout(folder.load(block.number), engine)
    assert compared == len(folder.numbers()) > 1
    prices = engine.pools.instruments["last_price"].tolist()
    assert {one.symbol: prices[one.id] for one in engine.registry.instruments} == earlier.last_prices


def stored_and_logged(data_dir: Path) -> list[Block]:
    with sqlite3.connect(data_dir / "exchange.sqlite3") as database:
        stored = [Block.decode(data) for (data,) in database.execute("SELECT data FROM engine_blocks ORDER BY number")]
    return stored + [block for block in WalLog(data_dir / "wal").blocks() if block.number > len(stored)]


def addresses(engine: Process) -> dict[str, str]:
    return {name: value for name, value in engine.environment.items() if name.startswith(("ENGINE_", "SETTLEMENT_"))}

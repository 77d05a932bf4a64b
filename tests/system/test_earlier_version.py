"""This version continues with the DATA_DIR of an earlier version.

`data/layout_1.tar.xz` was made by commit f511f97 with the write-ahead log on and a snapshot every 20 blocks: 1,400
random commands, settlement stopped after block 65, the engine killed at block 101. It holds the SQLite store, the CSV
trail, the write-ahead log and the snapshots of blocks 72 and 96.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from exchange_site.configuration.folders import make_private
from exchange_site.operations.free_addresses import free_http_address
from matching.client import Client
from matching.storage.input_logs.wal import WalLog
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT, Process, Start

pytestmark = pytest.mark.processes

ARCHIVE = Path(__file__).parent / "data" / "layout_1.tar.xz"
LAST_BLOCK, STATE_HASH = 101, "3aedce8c5ab2fe20"
SETTLED_BLOCK = 65
NEWEST_SNAPSHOT = 96


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    folder = tmp_path / "left-behind"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    make_private(folder)  # earlier versions did not ask for it; the message of this one says how
    return folder


def manage(engine: Process, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=engine.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("with_snapshots", [True, False])
def test_store_log_and_snapshots_of_an_earlier_version_are_read_and_settled(
    start: Start, left_behind: Path, *, with_snapshots: bool
) -> None:
    if not with_snapshots:
        shutil.rmtree(left_behind / "snapshots")
    settings = {"ENABLE_LOCAL_WAL": "true", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    engine = start("run_engine", data_dir=left_behind, **settings)
    migrated = manage(engine, "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    engine.wait_until_ready()
    assert engine.lines[0].startswith(f"leader at block {LAST_BLOCK}, epoch 2")
    assert (f"(snapshot of block {NEWEST_SNAPSHOT}" in engine.lines[0]) == with_snapshots
    with Client(engine.address("COMMAND")) as client:
        assert client.status()["state_hash"] == STATE_HASH
        (answer,) = client.call([{"command": "cancel_all", "account": 1}])
    assert answer.command_sequence is not None
    settlement = start(
        "run_settlement", "--until-block", str(LAST_BLOCK + 1), data_dir=left_behind, **addresses(engine)
    )
    until(lambda: settlement.popen.poll() is not None, "settlement of every block")
    settlement.stop()
    assert settlement.popen.returncode == 0, "".join(settlement.errors)
    for check in ("verify_settlement", "reconcile"):
        done = manage(engine, check)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_blocks_of_an_earlier_version_are_signed_from_the_first_one_on(start: Start, left_behind: Path) -> None:
    settings = {"PLAIN_SOCKETS": "false", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    settlement = start("run_settlement", data_dir=left_behind, **settings)
    until(lambda: any("settlement.started" in line for line in settlement.errors), "settlement to start", 120)
    assert settlement.stop() == 0
    anchor = left_behind / "checkpoints" / "settlement-local.jsonl"
    assert json.loads(anchor.read_bytes())["checkpoint"]["block"] == SETTLED_BLOCK
    done = manage(settlement, "verify_settlement", "--anchor", str(anchor))
    assert f"Signed checkpoints: 2 compared, the same up to block {SETTLED_BLOCK}." in done.stdout, done.stderr


def test_blocks_in_the_log_of_an_earlier_version_keep_their_hash(left_behind: Path) -> None:
    blocks = list(WalLog(left_behind / "wal").blocks())
    assert blocks[-1].number == LAST_BLOCK
    assert f"{blocks[-1].hash:016x}" == STATE_HASH
    assert blocks[0].number <= SETTLED_BLOCK


def addresses(engine: Process) -> dict[str, str]:
    return {name: value for name, value in engine.environment.items() if name.startswith(("ENGINE_", "SETTLEMENT_"))}

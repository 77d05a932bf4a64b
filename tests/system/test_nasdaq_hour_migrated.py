"""An hour of NASDAQ messages in a store of the version before is migrated, killed in the middle; trading goes on.

The version before is commit FORMER, the last one with the rules of version 1, from the history of this repository.
"""

import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_addresses, free_http_address
from matching.client import Client
from tests.matching.small_exchange import until
from tests.system.conftest import ROOT, Process, Start
from tests.system.test_earlier_version import KILLED, STEPS, environment, manage, migrate
from tests.system.test_nasdaq_hour import finished

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1800)]

FORMER = "d99c67475c4441844cd89390a38f8a3c8db6c113"
SNAPSHOT_BLOCKS = "20"


@pytest.fixture(scope="session")
def former(lobster_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program before; it compiles its own kernel."""
    archived = subprocess.run(["git", "archive", FORMER], cwd=ROOT, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"missing commit {FORMER}: this is not a clone with the whole history")
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def left_behind(start: Start, former: Path, lobster_sample: Path, tmp_path: Path) -> Path:
    """The DATA_DIR of the version before: the hour is submitted, settlement stopped, the engine killed."""
    folder, commands = tmp_path / "data", tmp_path / "hour.jsonl"
    folder.mkdir(mode=0o700)
    shared: dict[str, Any] = {
        "data_dir": folder,
        "program": former,
        "PLAIN_SOCKETS": "true",
        "ENABLE_LOCAL_WAL": "true",
        "ENGINE_SNAPSHOT_BLOCKS": SNAPSHOT_BLOCKS,
        "SETTLEMENT_SNAPSHOT_BLOCKS": SNAPSHOT_BLOCKS,
        "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
        **free_addresses(http=["ENGINE_HTTP_ADDRESS"]),
    }
    succeed(start("convert_lobster", str(lobster_sample), "--output", str(commands), **shared))
    succeed(start("migrate", "--verbosity", "0", **shared))
    engine = start("run_engine", **shared)
    until(lambda: engine.lines or engine.popen.poll() is not None, "the engine, with a kernel to compile", 900)
    settlement = start("run_settlement", **shared)
    assert json.loads(succeed(start("submit", str(commands), **shared)).lines[-1])["sent"] > 80_000
    until(lambda: any((folder / "settlement-snapshots").glob("*.snapshot")), "a snapshot of settlement", 300)
    settlement.stop()
    engine.stop(signal.SIGKILL)
    return folder


def succeed(process: Process) -> Process:
    assert finished(process).popen.returncode == 0, "".join(process.errors)
    return process


def kill_migration(data_dir: Path, step: str) -> None:
    program = [sys.executable, "-c", KILLED.format(step=STEPS[step])]
    killed = subprocess.run(program, cwd=ROOT, env=environment(data_dir), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.acceptance("an hour of NASDAQ messages in a store of the version before is migrated and traded on")
def test_a_store_of_the_version_before_is_migrated_although_killed_and_trading_goes_on(
    start: Start, left_behind: Path
) -> None:
    assert list((left_behind / "snapshots").glob("*.snapshot"))
    assert list((left_behind / "settlement-snapshots").glob("*.snapshot"))
    settings = {"PLAIN_SOCKETS": "true", "ENABLE_LOCAL_WAL": "true", "SETTLEMENT_HTTP_ADDRESS": free_http_address()}
    refused = finished(start("run_engine", data_dir=left_behind, **settings))
    assert (refused.popen.returncode, "run manage.py migrate_layout." in "".join(refused.errors)) == (1, True)
    for step in ("before the migration block is stored", "after the migration blocks are stored"):
        kill_migration(left_behind, step)
    last = json.loads(migrate(left_behind).stdout)["block"]

    engine = start("run_engine", data_dir=left_behind, **settings).wait_until_ready()
    addresses = {**settings, **engine.stream_settings}
    settlement = start("run_settlement", data_dir=left_behind, **addresses)
    traded, refused_stop = trade(engine.address("COMMAND"))
    assert traded > 4_000, "the numbers of trades go on"
    assert refused_stop == "would_trigger_immediately", "the last price is known"
    until(lambda: manage(left_behind, "reconcile", **addresses).returncode == 0, "all to be settled", 120)
    assert settlement.stop() == 0
    done = manage(left_behind, "verify_settlement", "--json", **addresses)
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["not_executed"]) == (0, True, last - 1), done.stderr
    assert found["to_block"] > last
    assert found["trades"] == traded


def trade(address: str) -> tuple[int, str]:
    """Trades with the orders that the hour left. Returns the trade's number, and why a stop order was refused."""
    order = {"command": "order", "account": 9, "symbol": "AAPL-USD", "quantity": "1", "time_in_force": "ioc"}
    with Client(address) as client:
        client.call([{"command": "deposit", "account": 9, "asset": "USD", "amount": "1000000", "reference": "nine"}])
        (bought,) = client.call([{**order, "side": "buy", "order_type": "market"}])
        (event,) = [event for event in bought.events if event["event"] == "trade"]
        stop = {**order, "side": "buy", "order_type": "stop_loss", "trigger_price": event["price"]}
        (refused,) = client.call([stop])
    return event["trade_number"], refused.rejected or ""

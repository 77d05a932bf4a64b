"""The doctor beside real processes: it makes nothing where nothing is, and finds nothing wrong while all runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import ROOT, Process, Start
from tests.system.test_settlement_kills import appended_block

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def doctor(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "manage.py", "doctor", "--json"]
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_look_at_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "not-there"
    done = doctor({**os.environ, "DATA_DIR": str(folder)})
    assert done.returncode == 1
    assert [one["code"] for one in json.loads(done.stdout)["findings"]] == ["folder_missing"]
    assert not folder.exists()


def test_a_look_without_a_database_file_makes_none(tmp_path: Path) -> None:
    done = doctor({**os.environ, "DATA_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert "There is no database in" in done.stdout
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_others_can_read_is_named_with_the_command(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = doctor({**os.environ, "DATA_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert f"chmod 700 {tmp_path}" in [one["command"] for one in json.loads(done.stdout)["findings"]]


def running(start: Start) -> tuple[Process, Process]:
    """An engine with a write-ahead log, and its settlement."""
    engine = start("run_engine", "--input-log", "wal", ENABLE_LOCAL_WAL="true").wait_until_ready()
    settlement = start(
        "run_settlement",
        data_dir=engine.data_dir,
        ENABLE_LOCAL_WAL="true",
        **engine.stream_settings,
        SETTLEMENT_HTTP_ADDRESS=free_http_address(),
    )
    with Client(engine.address("COMMAND")) as client:
        client.call(DEFINITIONS)
        for number in range(20):
            client.call([deposit(1, f"{number}")])
    return engine, settlement


def test_all_is_in_order_while_everything_runs_and_after_it_was_killed(start: Start) -> None:
    engine, settlement = running(start)
    until(lambda: appended_block(settlement) > 20, "settlement to have every block", 60)
    done = doctor(settlement.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    processes = json.loads(done.stdout)["parts"]["processes"]
    assert (processes["engine"], processes["settlement"]) == (True, True)
    assert processes["store_lock"].endswith(f"process {settlement.popen.pid}")
    settlement.stop(signal.SIGTERM)
    engine.stop(signal.SIGKILL)
    done = doctor(settlement.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["parts"]["processes"] == {"engine": False, "settlement": False, "store_lock": ""}

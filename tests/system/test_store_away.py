"""The store is locked while commands arrive: nothing is lost, memory stays bounded, and the outage is visible.

`STORE_AWAY_S=60` sets the length of the outage.
"""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start
from tests.system.test_settlement_kills import appended_block, market

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

AWAY_S = float(os.environ.get("STORE_AWAY_S", "8"))
MAX_GROWTH_BYTES = 128 << 20
HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds SQLite's write lock: no other process can write, but all can read."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate("")


def ready(address: str) -> tuple[int, dict[str, Any]]:
    """HTTP status, and the result of each check."""
    try:
        with urllib.request.urlopen(f"http://{address}/health/ready", timeout=10) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        status, body = refusal.code, refusal.read()
    except OSError:
        return 0, {}
    return status, {name: check["ok"] for name, check in json.loads(body)["checks"].items()}


def metrics(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def spill_files(engine: Process) -> list[Path]:
    return sorted((engine.data_dir / "spill").glob("*.spill"))


def test_an_outage_of_the_store_loses_nothing_and_is_visible(start: Start) -> None:
    engine = start("run_engine").wait_until_ready()
    address = free_http_address()
    shared: dict[str, Any] = {
        "data_dir": engine.data_dir,
        **engine.stream_settings,
        "SETTLEMENT_HTTP_ADDRESS": address,
        "SETTLEMENT_STORE_TIMEOUT_MS": "200",
    }
    settlement = start("run_settlement", **shared)
    with market(engine, seed=7), Client(engine.address("COMMAND")) as client:
        until(lambda: ready(address)[0] == 200, "settlement to be ready", 60)
        until(lambda: appended_block(engine) > 50, "blocks to be settled", 60)
        usual = settlement.memory_bytes()
        with locked(engine.data_dir / "exchange.sqlite3"):
            until(lambda: metrics(address)["settlement_store_down_seconds"] >= 2, "settlement to notice", 60)
            stored = appended_block(engine)
            check_outage_is_visible(address, client)
            down = "settlement_store_down_seconds"
            until(lambda: metrics(address)[down] >= AWAY_S, "the outage to last", AWAY_S + 60)
            assert appended_block(engine) == stored
            assert settlement.memory_bytes() < usual + MAX_GROWTH_BYTES
            check_outage_is_visible(address, client)
            assert spill_files(engine)
        until(lambda: ready(address)[0] == 200, "settlement to be ready again", 60)
        until(lambda: not spill_files(engine), "the spill to be drained", 60)
    last = last_block(engine)
    until(lambda: appended_block(engine) == last, f"block {last} to be settled", 60)
    until(lambda: is_calm(metrics(address)), "the metrics to show no lag")
    assert settlement.memory_bytes() < usual + MAX_GROWTH_BYTES
    assert settlement.stop() == 0, settlement.errors
    verification = start("verify_settlement", "--json", **shared)
    until(lambda: verification.popen.poll() is not None, "verification", 300)
    assert verification.popen.returncode == 0, (verification.lines, verification.errors)
    assert f'"blocks": {last}' in "".join(verification.lines)
    with closing(sqlite3.connect(engine.data_dir / "exchange.sqlite3")) as database:
        assert database.execute("SELECT COUNT(*) FROM dead_letters").fetchone() == (0,)


def check_outage_is_visible(address: str, client: Client) -> None:
    status, checks = ready(address)
    assert status == 503
    assert checks == {"store": False, "spill": True, "engine": True}
    told = metrics(address)
    assert told["settlement_store_up"] == 0
    assert told["settlement_spill_blocks"] > 0
    assert told["settlement_spill_bytes"] > 0
    assert told["settlement_retries_total"] > 0
    engine = client.status()
    assert not engine["halted"]
    # Blocks in the spill are confirmed.
    assert engine["ring"]["confirmed"] > appended_of(told, engine)


def is_calm(told: dict[str, float]) -> bool:
    names = ("store_up", "store_down_seconds", "spill_blocks", "spill_bytes", "block_lag", "projection_lag")
    return [told[f"settlement_{name}"] for name in names] == [1, 0, 0, 0, 0, 0]


def appended_of(told: dict[str, float], engine: dict[str, Any]) -> float:
    return float(engine["block"]) - told["settlement_block_lag"]


def last_block(engine: Process) -> int:
    with Client(engine.address("COMMAND")) as client:
        return int(client.status()["block"])

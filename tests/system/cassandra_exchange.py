"""An exchange of real processes over a Cassandra that tests kill, freeze or fill up, and the checks on it."""

import json
import os
import sqlite3
import urllib.request
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from exchange_site.operations.free_addresses import free_http_address
from scripts.services import Cassandra, Running
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start
from tests.system.test_postgres import ends_well
from tests.system.test_store_away import is_calm, last_block, metrics, ready

PATIENCE_S = 120  # a Cassandra that starts on a busy machine is slow
SOME_BLOCKS = 30

_keyspaces = count(1)


def new_keyspace() -> str:
    """A keyspace name that no other test uses."""
    return f"exchange_{os.getpid()}_{next(_keyspaces)}"


def on(server: Running, keyspace: str) -> dict[str, str]:
    """Settings of processes whose store is this keyspace."""
    return {
        "SETTLEMENT_STORE": "scylla",
        "SCYLLA_HOSTS": server.host,
        "SCYLLA_PORT": str(server.port),
        "SCYLLA_KEYSPACE": keyspace,
    }


def refused(process: Process, says: str, code: int = 2) -> None:
    """Checks that the process ends by itself with one sentence that contains `says`."""
    until(lambda: process.popen.poll() is not None, f"{process.arguments[0]} to end", PATIENCE_S)
    assert process.stop() == code, (process.lines, process.errors)
    told = [line for line in process.errors if not line.startswith("timestamp=")]
    assert len(told) == 1, told
    assert told[0].startswith("CommandError: "), told
    assert says in told[0], told


def waited(process: Process) -> bool:
    """Whether the process retried, as it does after an error that may be temporary."""
    return said(process, "settlement.store_unavailable") or said(process, "engine.store_unavailable")


def said(process: Process, event: str) -> bool:
    return any(f"event='{event}'" in line for line in list(process.errors))


class OwnCassandra:
    """A Cassandra that requires a password. `running` is the server after the newest restart."""

    def __init__(self, folder: Path) -> None:
        self.running: Running = Cassandra(authentication=True).launch(folder)

    def kill(self) -> None:
        self.running.kill()

    def restart(self) -> None:
        self.running = self.running.restart()

    def settings(self) -> dict[str, str]:
        """Settings of an exchange with a keyspace of its own."""
        return {**on(self.running, new_keyspace()), "SCYLLA_USERNAME": "cassandra", "SCYLLA_PASSWORD": "cassandra"}


class Exchange:
    """An engine and its settlement."""

    def __init__(self, start: Start, settings: dict[str, str]) -> None:
        self._start = start
        self.engine: Process = start("run_engine", **settings).wait_until_ready()
        self.address = free_http_address()
        self.shared: dict[str, Any] = {
            **settings,
            "data_dir": self.engine.data_dir,
            **self.engine.stream_settings,
            "SETTLEMENT_HTTP_ADDRESS": self.address,
        }
        self.settle()

    def settle(self) -> None:
        """Starts settlement."""
        self.settlement: Process = self._start("run_settlement", **self.shared)
        until(lambda: ready(self.address)[0] == 200, "settlement to be ready", PATIENCE_S)

    def metric(self, name: str) -> float:
        return metrics(self.address)[f"settlement_{name}"]

    def database_errors(self, kind: str) -> float:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == "settlement_db_errors_total" and sample.labels["kind"] == kind
        )

    def settles_some(self) -> None:
        before = self.metric("blocks_appended_total")
        until(lambda: self.metric("blocks_appended_total") > before + SOME_BLOCKS, "blocks to be settled", PATIENCE_S)

    def notices(self) -> None:
        """Checks that the outage is visible in alarms, metrics, health and log."""
        # The alarm is raised after a second, and alarms are written at most once a second.
        until(lambda: "store_unavailable" in self.raised(), "settlement to raise an alarm", PATIENCE_S)
        assert self.metric("store_up") == 0
        assert self.database_errors("unavailable") > 0
        assert ready(self.address) == (503, {"store": False, "spill": True, "engine": True})
        assert said(self.settlement, "settlement.store_unavailable")

    def recovers(self) -> None:
        """Checks that settlement works again without a restart of itself or of the engine."""
        until(lambda: ready(self.address)[0] == 200, "settlement to be ready again", PATIENCE_S)
        assert said(self.settlement, "settlement.store_available_again")
        assert self.settlement.popen.poll() is None, self.settlement.errors
        assert self.engine.popen.poll() is None, self.engine.errors

    def raised(self) -> list[str]:
        return [kind for (kind,) in self._rows("SELECT kind FROM alarms WHERE cleared_at IS NULL")]

    def dead_letters(self) -> int:
        return int(self._rows("SELECT COUNT(*) FROM dead_letters")[0][0])

    def runs_in_order(self) -> int:
        """Number of reconciliations that found no difference."""
        return int(self._rows("SELECT COUNT(*) FROM reconciliation_runs WHERE ok")[0][0])

    def catches_up(self) -> None:
        until(lambda: is_calm(metrics(self.address)), "settlement to catch up", PATIENCE_S)

    def ends_in_order(self) -> None:
        """Stops settlement and verifies store and trail against the chain: nothing lost, duplicated or left out."""
        last = last_block(self.engine)
        self.catches_up()
        until(lambda: "store_unavailable" not in self.raised(), "the alarm to be cleared", PATIENCE_S)
        assert self.dead_letters() == 0
        assert self.database_errors("rejected") == 0
        reconciled = ends_well(self._start, "reconcile", "--json", **self.shared)
        assert json.loads("".join(reconciled.lines))["ok"]
        assert self.settlement.stop() == 0, self.settlement.errors
        assert not [line for line in self.settlement.errors + self.engine.errors if "Traceback" in line]
        verified = json.loads("".join(ends_well(self._start, "verify_settlement", "--json", **self.shared).lines))
        assert verified["blocks"] == last
        assert verified["trades"] > 0

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.engine.data_dir / "exchange.sqlite3")) as database:
            return database.execute(statement).fetchall()

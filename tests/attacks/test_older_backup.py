"""Attack 9: the database is lost, and an older backup is put back while the spill holds what was confirmed since.

The write-ahead log holds everything. Engine and settlement refuse the older store; one command gives it what it lacks.
"""

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Postgres, Running, Server
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start
from tests.system.test_store_away import spill_files

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

PART = 15
"""Deposits in each of the three parts of the run, each in a block of its own."""


class Database(Protocol):
    settings: dict[str, str]

    def back_up(self) -> None:
        """Call while settlement is stopped."""

    def take_away(self) -> None:
        """Settlement writes to its spill from now on."""

    def put_backup_back(self) -> None: ...


class SqliteFile:
    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, str] = {}
        self._file = folder / "exchange.sqlite3"
        self._backup = folder.parent / "backup.sqlite3"

    def back_up(self) -> None:
        with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(self._backup)) as target:
            source.backup(target)

    def take_away(self) -> None:
        for path in self._file.parent.glob("exchange.sqlite3*"):
            path.unlink()

    def put_backup_back(self) -> None:
        shutil.copy(self._backup, self._file)


class PostgresDatabase:
    def __init__(self, server: Running) -> None:
        self._server = server
        self.settings = {"DATABASE_URL": f"postgres://postgres@{server.address}/exchange"}
        self._run("CREATE DATABASE exchange")

    def back_up(self) -> None:
        self._end_sessions()
        self._run("CREATE DATABASE backup TEMPLATE exchange")

    def take_away(self) -> None:
        self._server.kill()

    def put_backup_back(self) -> None:
        self._server = self._server.restart()
        self._run("DROP DATABASE exchange WITH (FORCE)")
        self._run("ALTER DATABASE backup RENAME TO exchange")

    def _end_sessions(self) -> None:
        """A template must have none; the engine connects again."""
        self._run("ALTER DATABASE exchange ALLOW_CONNECTIONS false")
        self._run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'exchange'")
        until(lambda: not self._run("SELECT 1 FROM pg_stat_activity WHERE datname = 'exchange'"), "no sessions", 30)

    def allow(self) -> None:
        self._run("ALTER DATABASE exchange ALLOW_CONNECTIONS true")

    def _run(self, statement: str) -> list[Any]:
        url = f"postgres://postgres@{self._server.address}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Path], Database]]:
    """Makes the database of the exchange in this folder."""
    if request.param == "sqlite":
        yield SqliteFile
    else:
        launch: Callable[[Server], Running] = request.getfixturevalue("launch")
        yield lambda folder: PostgresDatabase(launch(Postgres()))


def deposits(engine: Process, part: int) -> None:
    with Client(engine.address("COMMAND")) as client:
        if not part:
            client.call(DEFINITIONS)
        for number in range(PART):
            client.call([deposit(1, f"{part}-{number}")])


def last_block(engine: Process) -> int:
    with Client(engine.address("COMMAND")) as client:
        return int(client.status()["block"])


def ended(process: Process) -> tuple[int, str]:
    """Exit code and standard error of a program that ends by itself."""
    until(lambda: process.popen.poll() is not None, f"{process.arguments[0]} to end", 120)
    return process.stop(), "".join(process.errors)


def confirmed(engine: Process) -> bool:
    with Client(engine.address("COMMAND")) as client:
        return bool(client.status()["ring"]["unconfirmed_blocks"] == 0)


def test_an_older_backup_beside_a_spill_ends_in_one_command_and_nothing_is_lost(
    start: Start, tmp_path: Path, database: Callable[[Path], Database]
) -> None:
    folder = tmp_path / "data"
    store = database(folder)
    shared: dict[str, Any] = {"data_dir": folder, "ENABLE_LOCAL_WAL": "true", **store.settings}
    folder.mkdir(mode=0o700)
    assert ended(start("init_store", **shared))[0] == 0
    engine = start("run_engine", **shared).wait_until_ready()
    shared |= {**engine.stream_settings, "ENGINE_HTTP_ADDRESS": engine.environment["ENGINE_HTTP_ADDRESS"]}

    def settlement() -> Process:
        return start("run_settlement", **shared, SETTLEMENT_HTTP_ADDRESS=free_http_address())

    deposits(engine, 0)
    first = settlement()
    until(lambda: confirmed(engine), "the first part to be settled", 120)
    assert first.stop() == 0
    store.back_up()
    if isinstance(store, PostgresDatabase):
        store.allow()
    deposits(engine, 1)
    second = settlement()
    until(lambda: confirmed(engine), "the second part to be settled", 120)
    store.take_away()
    deposits(engine, 2)
    until(lambda: spill_files(engine) and confirmed(engine), "the third part to be in the spill", 120)
    answered = last_block(engine)
    for process in (second, engine):
        process.stop(signal.SIGKILL)
    store.put_backup_back()

    # Both refuse, and the doctor says what to do.
    code, error = ended(settlement())
    assert code == 1, error
    code, error = ended(start("run_engine", **shared))
    assert code == 1, error
    looked = start("doctor", "--json", **shared)
    assert ended(looked)[0] == 1
    findings = {one["code"]: one["command"] for one in json.loads("".join(looked.lines))["findings"]}
    assert findings == {"store_behind": "manage.py restore"}

    restored = start("restore", "--json", **shared)
    assert ended(restored)[0] == 0, restored.errors
    done = json.loads("".join(restored.lines))
    assert (done["last_block"], done["verified"]["ok"]) == (answered, True)

    # Everything goes on.
    engine = start("run_engine", **shared).wait_until_ready()
    settlement()
    deposits(engine, 3)
    until(lambda: confirmed(engine), "all to be settled", 120)
    verified = start("verify_settlement", "--json", **shared)
    assert ended(verified)[0] == 0, verified.errors
    assert json.loads("".join(verified.lines))["blocks"] == last_block(engine) > answered

"""Attack 11: two settlements on one store. The second one names the first and ends; a killed one leaves no lock."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from exchange_site.operations.free_addresses import free_http_address
from scripts.services import Running
from settlement.project.trail import HEADER, NAME
from tests.matching.small_exchange import until
from tests.system.cassandra_exchange import new_keyspace, on
from tests.system.conftest import Process, Start
from tests.system.test_postgres import ends_well

START_S = 120
STORES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.services("postgres")),
    pytest.param("scylla", marks=pytest.mark.services("cassandra")),
]

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, start: Start, tmp_path: Path, empty_store: Path) -> Iterator[dict[str, str]]:
    """Settings of an empty store."""
    if request.param == "scylla":
        yield on(request.getfixturevalue("cassandra"), new_keyspace())
        return
    if request.param == "sqlite":
        folder = tmp_path / "store"
        folder.mkdir(mode=0o700)
        shutil.copy(empty_store, folder)
        yield {"DATABASE_URL": f"sqlite:///{folder / 'exchange.sqlite3'}"}
        return
    server: Running = request.getfixturevalue("postgres")
    name = f"two_settlements_{os.getpid()}"
    with psycopg.connect(host=server.host, port=server.port, user="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = f"postgres://postgres@{server.host}:{server.port}/{name}"
        ends_well(start, "init_store", DATABASE_URL=url)
        yield {"DATABASE_URL": url}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def settlement(start: Start, store: dict[str, str]) -> Process:
    """Has a DATA_DIR of its own."""
    return start("run_settlement", **store, SETTLEMENT_HTTP_ADDRESS=free_http_address())


def runs(process: Process) -> bool:
    return any("settlement.started" in line for line in process.errors)


def has_started(process: Process) -> Process:
    until(lambda: runs(process) or process.popen.poll() is not None, "settlement to start", START_S)
    assert process.popen.poll() is None, process.errors
    return process


def test_the_second_settlement_names_the_first_and_ends_and_a_killed_one_is_replaced(
    start: Start, store: dict[str, str]
) -> None:
    first = has_started(settlement(start, store))

    second = settlement(start, store)
    until(lambda: second.popen.poll() is not None, "the end of the second settlement", START_S)
    assert second.stop() == 2
    said = "".join(second.errors)
    owner = f"(settlement on {socket.gethostname()[:30]}, process {first.popen.pid})"
    assert "Another settlement process works on the store" in said
    assert f"{owner}: stop it first." in said
    assert "damage" not in said
    assert "Traceback" not in said
    assert first.popen.poll() is None

    first.stop(signal.SIGKILL)
    has_started(settlement(start, store))


def test_restore_names_the_settlement_that_runs_and_does_nothing(start: Start, store: dict[str, str]) -> None:
    first = has_started(settlement(start, store))
    restored = start("restore", **store)
    until(lambda: restored.popen.poll() is not None, "the end of restore", START_S)
    assert restored.stop() == 2
    owner = f"(settlement on {socket.gethostname()[:30]}, process {first.popen.pid})"
    assert f"{owner}: stop it first." in "".join(restored.errors)
    assert not restored.lines


def test_the_doctor_names_the_settlement_of_another_folder(
    start: Start, store: dict[str, str], tmp_path: Path, empty_store: Path
) -> None:
    first = has_started(settlement(start, store))
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    shutil.copy(empty_store, other)
    (other / NAME).write_text(f"{HEADER}\n")
    looked = start("doctor", "--json", data_dir=other, **store)
    until(lambda: looked.popen.poll() is not None, "the end of doctor", START_S)
    looked.stop()
    found = json.loads("".join(looked.lines))
    sentence = next(one["sentence"] for one in found["findings"] if one["code"] == "store_in_use")
    assert f"process {first.popen.pid}" in sentence
    assert first.popen.poll() is None

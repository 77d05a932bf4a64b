"""Archiving and releasing are killed many times while they work: nothing is lost and nothing is there twice."""

import json
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.matching.small_exchange import until
from tests.system.conftest import DATABASE, Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(7200)]

TRADES = 200_000
DAYS = 60
ARCHIVE_KILLS = 30
MOST_FILES = 25  # before a kill, of more than a thousand in the end
RELEASE_KILLS = 10
MOST_TRANSACTIONS = 25  # before a kill, of some four hundred
DAYS_KEPT = 10
PATIENCE_S = 1800.0

FINAL_ROWS = {
    "blocks": "engine_blocks WHERE number <= {block}",
    "trades": "settled_trades WHERE trade_id <= {event}",
    "ledger_events": "ledger_events WHERE entry >> 4 <= {event}",
    "closed_orders": "orders WHERE updated_sequence <= {event} AND status IN ('filled', 'cancelled')",
}
"""The rows that an archive of the blocks up to `block`, whose last event is `event`, has."""


class Market:
    """The folder of an exchange and its commands."""

    def __init__(self, start: Start, folder: Path, archive: Path) -> None:
        self._start = start
        self.folder = folder
        self.archive = archive

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    def begin(self, *arguments: str) -> Process:
        return self._start(*arguments, data_dir=self.folder, ARCHIVE=str(self.archive))

    def run(self, *arguments: str) -> dict[str, Any]:
        """Runs a command to its end; returns its JSON document."""
        process = self.begin(*arguments, "--json")
        until(lambda: process.popen.poll() is not None, f"{arguments[0]} to end", PATIENCE_S)
        assert process.stop() == 0, (arguments, process.lines, process.errors)
        found: dict[str, Any] = json.loads("".join(process.lines))
        return found

    def kill(self, *arguments: str, has_worked: Callable[[], bool]) -> None:
        """Starts a command, and kills it as soon as `has_worked` is true."""
        process = self.begin(*arguments)
        until(lambda: has_worked() or process.popen.poll() is not None, f"{arguments[0]} to work", PATIENCE_S)
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL, (process.lines, process.errors)


def files_in(place: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(place))


class Transactions:
    """Counts those that other processes commit to a database, at least as many as there are."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._version = self._read()
        self.count = 0

    def look(self) -> int:
        """How many were noticed; several between two looks count as one."""
        version = self._read()
        self.count += version != self._version
        self._version = version
        return self.count

    def _read(self) -> int:
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])


def kill_archiving(market: Market, written: int) -> None:
    """Kills it when it has written so many more files."""
    before = files_in(market.archive)
    market.kill("archive_settlement", has_worked=lambda: files_in(market.archive) >= before + written)


def kill_releasing(market: Market, through: date, transactions: int) -> None:
    """Kills it when it has committed so many transactions or more."""
    with closing(sqlite3.connect(market.database)) as database:
        seen = Transactions(database)
        market.kill(
            "release_settlement", "--through", through.isoformat(), has_worked=lambda: seen.look() >= transactions
        )


def last_day(database: Path) -> date:
    with closing(sqlite3.connect(database)) as opened:
        return date.fromisoformat(opened.execute("SELECT max(day) FROM trading_days").fetchone()[0])


def final_rows(database: sqlite3.Connection, last_block: int) -> dict[str, str]:
    """FINAL_ROWS of this block."""
    statement = "SELECT last_event_sequence FROM engine_blocks WHERE number = ?"
    (event,) = database.execute(statement, [last_block]).fetchone()
    return {name: rows.format(block=last_block, event=event) for name, rows in FINAL_ROWS.items()}


def counts_of(file: Path, last_block: int) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as database:
        rows = final_rows(database, last_block)
        return {name: database.execute(f"SELECT count(*) FROM {of}").fetchone()[0] for name, of in rows.items()}


def rows_of_one_only(one: Path, other: Path, last_block: int) -> dict[str, int]:
    """The number of final rows of each table that only `one` has."""
    with closing(sqlite3.connect(one)) as database:
        database.execute("ATTACH ? AS other", [str(other)])
        rows = final_rows(database, last_block)
        both = {name: f"SELECT * FROM main.{of} EXCEPT SELECT * FROM other.{of}" for name, of in rows.items()}
        return {name: database.execute(f"SELECT count(*) FROM ({of})").fetchone()[0] for name, of in both.items()}


@pytest.mark.acceptance("thirty kills of archiving and ten of releasing lose no row and make none twice")
def test_kills_of_archiving_and_releasing_leave_each_row_once(start: Start, tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    market = Market(start, tmp_path / "market", tmp_path / "archive")
    made = market.run("make_large_store", "--trades", str(TRADES), "--days", str(DAYS))

    for _ in range(ARCHIVE_KILLS):
        kill_archiving(market, chosen.randint(1, MOST_FILES))
    archived = market.run("archive_settlement")
    assert archived["days"], "some days were left for the run that was not killed"
    complete = market.run("verify_archive")
    last_block = archived["last_block"]
    assert (complete["difference_count"], complete["last_block"]) == (0, last_block)
    assert complete["days"] >= DAYS - 3
    assert complete["rows"] == counts_of(market.database, last_block)

    untouched = tmp_path / "untouched.sqlite3"
    with closing(sqlite3.connect(market.database)) as database, closing(sqlite3.connect(untouched)) as copy:
        database.backup(copy)
    through = last_day(untouched) - timedelta(days=DAYS_KEPT)
    for number in range(RELEASE_KILLS):
        kill_releasing(market, through, 1 if number == 0 else chosen.randint(1, MOST_TRANSACTIONS))
    released = market.run("release_settlement", "--through", through.isoformat())
    assert released["rows"] > 0, "some rows were left for the run that was not killed"
    assert 0 < counts_of(market.database, last_block)["trades"] < made["trades"] / 3

    assert market.run("verify_archive")["difference_count"] == 0
    verified = market.run("verify_settlement")
    assert (verified["difference_count"], verified["blocks"]) == (0, made["blocks"])

    restored = Market(start, tmp_path / "restored", market.archive)
    assert restored.run("restore_settlement", "--from-archive")["last_block"] == last_block
    assert restored.run("verify_settlement")["state_hash"] == complete["state_hash"]
    nothing = dict.fromkeys(FINAL_ROWS, 0)
    assert rows_of_one_only(untouched, restored.database, last_block) == nothing
    assert rows_of_one_only(restored.database, untouched, last_block) == nothing

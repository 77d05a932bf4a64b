"""The real command, killed at random moments of its work and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from archive.archive import Archive
from archive.iceberg.location import url_of
from archive.iceberg.schema import TABLES
from archive.iceberg.tables import IcebergTables
from archive.verification import verify
from exchange_site.settings import BASE_DIR
from matching.core.engine import Engine
from tests.archive.days import chain_of_days, settle
from tests.archive.test_archiving import rows_in, rows_of_store
from tests.settlement.file_stores import store_in

KILLS = 6
MOST_FILES = 30  # before a kill, of about 100 in the end
DEADLINE_S = 60.0
COMMAND = [sys.executable, "manage.py", "archive_settlement"]


def files_in(place: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(place))


def kill_while_it_works(environment: dict[str, str], place: Path, written: int) -> int:
    """Starts the command, and kills it when it has written so many more files; returns its exit code."""
    before = files_in(place)
    process = subprocess.Popen(
        COMMAND, cwd=BASE_DIR, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + DEADLINE_S
    while files_in(place) < before + written and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    return process.wait()


@pytest.mark.slow
@pytest.mark.processes
def test_killed_at_random_moments_it_archives_everything_once(
    process_environment: dict[str, str], django_db_blocker: DjangoDbBlocker, seed: int
) -> None:
    folder = Path(process_environment["DATA_DIR"])
    place = folder / "archive"
    chosen = random.Random(seed)
    with store_in(folder / "exchange.sqlite3", django_db_blocker) as store:
        settle(store, chain_of_days(step_ns=5 * 3600 * 10**9).blocks)

        ends = [kill_while_it_works(process_environment, place, chosen.randint(1, MOST_FILES)) for _ in range(KILLS)]
        done = subprocess.run(
            COMMAND, cwd=BASE_DIR, env=process_environment, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr
        assert -signal.SIGKILL in ends, "no run was killed while it worked"
        catalog = {"type": "sql", "uri": f"sqlite:///{place}/catalog.sqlite3"}
        archive = Archive(place, IcebergTables(url_of(place), catalog=catalog, storage={}))
        wanted = rows_of_store(store, archive.complete()[-1].last.number)
        assert {table.name: rows_in(archive, table) for table in TABLES} == wanted
        assert verify(archive, store, Engine()).ok

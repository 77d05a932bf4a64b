"""Projecting in a thread of its own: the same rows, appends that do not wait, and errors that end settlement."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from settlement.clock import SystemClock
from settlement.durable.spill import Spill
from settlement.errors import StoreReplaced
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.projector import Projections
from settlement.project.trail import Trail
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Projection, StoreRejected, StoreUnavailable
from settlement.stores.retrying import StoreRetrier, finish
from settlement.stores.sql.store import SqlStore
from settlement.worker_status import WorkerStatus
from tests.settlement.conftest import Settle, settle_in, tables, trail_text
from tests.settlement.fakes import FakeClock, ScriptedFeed, note_calls
from tests.settlement.file_stores import store_in
from tests.settlement.test_worker import BLOCKS, LAST, expected_rows

pytestmark = pytest.mark.django_db

DEADLINE_S = 20.0


class FileStore(SqlStore):
    """Stops in `insert_batch` until `may_write` is set, and then does what `then` does first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.may_write = threading.Event()
        self.may_write.set()
        self.is_writing = threading.Event()
        self.failures: list[Exception] = []
        self.writers = set[str]()

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        self.is_writing.set()
        assert self.may_write.wait(DEADLINE_S)
        self.writers.add(threading.current_thread().name.partition("_")[0])
        if self.failures:
            raise self.failures.pop(0)
        super().insert_batch(projection, follows)


@pytest.fixture
def beside(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[FileStore]:
    with store_in(tmp_path / "a.sqlite3", django_db_blocker, init_command="PRAGMA journal_mode=WAL") as made:
        store = FileStore(made._session.alias)
        yield store
        store.close()


def settle_beside(store: SqlStore, folder: Path, feed: ScriptedFeed, **edges: Any) -> int:
    folder.mkdir(exist_ok=True)
    trail, spill = Trail(folder), Spill(folder / "spill", 1 << 20)
    choices = {
        "options": Options(batch_trades=5, until_block=LAST),
        "stop": lambda: False,
        "projection_store": store,
        **edges,
    }
    try:
        return settle_in(folder, store, feed, SystemClock(), trail=trail, spill=spill, **choices)
    finally:
        trail.close()
        spill.close()


def feed_in_real_time(per_arrival: int = 3) -> ScriptedFeed:
    arrivals = [list(BLOCKS[start : start + per_arrival]) for start in range(0, LAST, per_arrival)]
    return ScriptedFeed(SystemClock(), arrivals, announced=LAST)


def test_the_thread_leaves_the_rows_and_the_trail_of_taking_turns(
    beside: FileStore, settle: Settle, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    undisturbed = expected_rows(SqlStore(), settle, clock, folder)
    assert settle_beside(beside, tmp_path / "beside", feed_in_real_time()) == LAST
    assert (tables(beside), trail_text(tmp_path / "beside")) == undisturbed
    assert beside.writers == {"projecting"}


def test_blocks_are_confirmed_while_a_batch_of_rows_is_not_written(beside: FileStore, folder: Path) -> None:
    beside.may_write.clear()
    feed = feed_in_real_time(per_arrival=1)
    confirm = feed.confirm

    def confirm_and_release(confirmation: Any) -> None:
        confirm(confirmation)
        if confirmation.number == LAST:
            beside.may_write.set()

    feed.confirm = confirm_and_release  # type: ignore[method-assign]
    settle_beside(beside, folder, feed)
    assert feed.confirmed[-1] == LAST
    assert beside.projected() == beside.appended()


def test_blocks_that_no_longer_fit_into_memory_are_read_back(
    beside: FileStore, settle: Settle, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    undisturbed = expected_rows(SqlStore(), settle, clock, folder)
    options = Options(batch_trades=1, batch_ms=0, backlog_bytes=1, batch_events=20, until_block=LAST)
    settle_beside(beside, tmp_path / "beside", feed_in_real_time(), options=options)
    assert (tables(beside), trail_text(tmp_path / "beside")) == undisturbed


def test_batches_are_as_large_as_the_store_is_fast_while_blocks_arrive(beside: FileStore, folder: Path) -> None:
    clock = FakeClock()
    projections = Projections(
        beside,
        trail=Trail(folder),
        letters=DeadLetters(beside, folder, clock),
        clock=clock,
        options=Options(batch_events=10**6),
        retrier=StoreRetrier(clock, Options()),
    )
    finish(projections.begin(), clock.sleep)
    sizes: list[int] = []
    for is_slow in (False, True, True):
        projections.has_thread = is_slow
        blocks = BLOCKS[len(sizes) * 6 : len(sizes) * 6 + 6]
        beside.append_blocks([stored(block) for block in blocks])
        projections.add([stored(block) for block in blocks])
        note_calls(beside, "insert_batch", lambda: clock.sleep(10))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("settlement.project.projector._LEAST_EVENTS", 1)
            finish(projections.step(), clock.sleep)
        sizes.append(projections.projected.block_number)
        while projections.lag:
            projections.has_thread = False
            finish(projections.step(), clock.sleep)
    assert sizes == [6, 7, 13]


def test_an_error_of_the_thread_ends_settlement(beside: FileStore, folder: Path) -> None:
    beside.failures.append(StoreReplaced("It is another store."))
    with pytest.raises(StoreReplaced, match="another store"):
        settle_beside(beside, folder, feed_in_real_time(), stop=lambda: False)
    assert beside.projected().block_number < LAST


def test_rejected_rows_become_dead_letters(beside: FileStore, folder: Path) -> None:
    beside.failures += [StoreRejected("The database rejects the statement.")] * 2  # the batch, then its first block
    settle_beside(beside, folder, feed_in_real_time(per_arrival=LAST))
    assert [letter.block_number for letter in beside.dead_letters()] == [1]
    assert beside.projected().block_number == LAST


def test_an_outage_of_the_thread_is_reported_and_ends_with_settlement(beside: FileStore, folder: Path) -> None:
    beside.failures += [StoreUnavailable("The database does not answer.")] * 10**4
    down_s: list[float] = []

    def report(status: WorkerStatus) -> None:
        down_s.append(status.store_down_for_s)

    def stop() -> bool:
        return bool(down_s and down_s[-1] > 0.2 and beside.appended().block_number == LAST)

    settle_beside(beside, folder, feed_in_real_time(), report=report, stop=stop)
    assert beside.projected().block_number == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("projecting")]
    beside.failures.clear()
    settle_beside(beside, folder, feed_in_real_time())
    assert beside.projected().block_number == LAST


def test_what_waits_for_a_full_batch_is_projected_when_settlement_stops(beside: FileStore, folder: Path) -> None:
    options = Options(batch_trades=10**6, batch_ms=1e9)
    feed = feed_in_real_time(per_arrival=LAST)
    settle_beside(beside, folder, feed, options=options, stop=lambda: beside.appended().block_number == LAST)
    assert beside.projected().block_number == LAST


def test_without_projection_blocks_are_stored_and_a_later_settlement_projects_them(
    beside: FileStore, settle: Settle, clock: FakeClock, folder: Path, tmp_path: Path
) -> None:
    undisturbed = expected_rows(SqlStore(), settle, clock, folder)
    feed, where = feed_in_real_time(), tmp_path / "beside"
    settle_beside(beside, where, feed, options=Options(is_projecting=False), stop=lambda: LAST in feed.confirmed)
    assert (beside.appended().block_number, beside.projected().block_number) == (LAST, 0)
    settle_beside(beside, where, feed_in_real_time())
    assert (tables(beside), trail_text(where)) == undisturbed

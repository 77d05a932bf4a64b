"""Days that leave the store after their archive was verified: what leaves, what stays, what refuses, what works."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archive import verification
from archive.archive import Archive
from archive.archiving import archive_days
from archive.errors import ArchiveDiffers
from archive.iceberg.schema import CLOSED_ORDERS
from archive.reading.rows import released_rows
from archive.releasing import days_older_than, release_days
from exchange_site.engine_host.store_history import StoreHistory
from matching.core.engine import Engine
from settlement.audit import verify
from settlement.clock import SystemClock
from settlement.errors import NotReady, StoreReplaced
from settlement.options import Options
from settlement.project import rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import (
    NOTHING_YET,
    OPEN_STATUSES,
    Checkpoint,
    Store,
    StoreMisconfigured,
    StoreUnavailable,
)
from settlement.stores.released import reading_released
from settlement.stores.sql import releases
from settlement.stores.sql.session import Session
from tests.archive.conftest import OpenArchive
from tests.archive.days import STEP_NS, archive_in, chain_of_days, settle
from tests.archive.test_restoring import restore
from tests.archive.test_verification import damage
from tests.exchange_site.engine_host.test_store_history import NO_CLAIM
from tests.settlement.conftest import empty, tables
from tests.settlement.rows import letter

FIRST, SECOND = date(2026, 1, 30), date(2026, 1, 31)
KEPT = ("balances", "account settings", "candles", "definitions", "open orders", "transfers", "epochs", "checkpoints")


@pytest.fixture
def archived(settled: Store, open_archive: OpenArchive) -> Archive:
    archive_days(settled, open_archive())
    return open_archive()


def release(store: Store, archive: Archive, through: date | None = SECOND) -> Any:
    return release_days(store, archive, Engine(), through=through)


def joined(store: Store, open_archive: OpenArchive) -> Store:
    return reading_released(store, lambda anchor: released_rows(open_archive, anchor))


def rows_of(store: Store) -> dict[str, list[Any]]:
    return tables(store, is_restarted=False)


def test_a_release_deletes_blocks_trades_ledger_events_and_closed_orders(settled: Store, archived: Archive) -> None:
    before = rows_of(settled)
    last = archived.complete()[-1].last.number

    done = release(settled, archived)

    assert (done.days, done.blocks, done.through.block_number) == ([FIRST, SECOND], last, last)
    after = rows_of(settled)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    assert after["blocks"] == before["blocks"][last - 1 :], "the last released block stays"
    event = after["blocks"][0].last_event_sequence
    assert after["trades"] == [trade for trade in before["trades"] if trade.trade_id > event]
    assert after["ledger"] == [entry for entry in before["ledger"] if entry.event_sequence > event]
    assert after["orders"] == [
        order for order in before["orders"] if order.status in OPEN_STATUSES or order.updated_sequence > event
    ]
    deleted = sum(len(before[name]) - len(after[name]) for name in ("blocks", "trades", "ledger", "orders"))
    assert done.rows == deleted
    assert release(settled, archived) == done._replace(days=[], blocks=0, rows=0)


@pytest.mark.parametrize("days", [0, 1, 2, 400])
def test_days_are_counted_from_the_newest_projected_block(settled: Store, archived: Archive, days: int) -> None:
    done = release(settled, archived, days_older_than(settled, days))
    newest = settled.get_block(settled.projected().block_number)
    assert newest is not None
    assert done.days == [day for day in (FIRST, SECOND) if (date(2026, 2, 1) - day).days > days]


def test_a_store_without_blocks_has_no_old_days(store: Store) -> None:
    assert days_older_than(store, 0) is None


def test_a_changed_archive_releases_nothing(settled: Store, archived: Archive) -> None:
    before = rows_of(settled)
    damage(archived, archived.complete()[1], CLOSED_ORDERS)
    with pytest.raises(ArchiveDiffers, match="is not what was settled: 1 differences, "):
        release(settled, archived)
    assert (settled.released(), rows_of(settled)) == (NOTHING_YET, before)


def test_rows_that_differ_in_the_store_release_nothing(settled: Store, archived: Archive) -> None:
    trade = settled.get_trades_by_sequence_range(1, 10**6, 1)[0]
    settled.insert_trade(trade._replace(price=trade.price + 1))
    with pytest.raises(ArchiveDiffers):
        release(settled, archived)
    assert settled.released() == NOTHING_YET


def test_dead_letters_and_missing_projections_release_nothing(settled: Store, archived: Archive) -> None:
    settled.put_dead_letter(letter(3))
    with pytest.raises(NotReady, match="The rows of block 3 are not in the tables"):
        release(settled, archived)
    settled.put_dead_letter(letter(3)._replace(resolved_at_ns=1))
    settled.drop_projections()
    with pytest.raises(NotReady, match="The store has the rows of 0 of 24 blocks"):
        release(settled, archived)
    assert settled.released() == NOTHING_YET


def test_released_blocks_cannot_be_replaced(settled: Store, archived: Archive, open_archive: OpenArchive) -> None:
    release(settled, archived, FIRST)
    with pytest.raises(NotReady, match="Blocks up to 12 are released to the archive, so block 12 cannot be replaced"):
        joined(settled, open_archive).replace_blocks(12, [], settled.epochs()[-1]._replace(number=2, first_block=12))


def test_only_a_projected_block_of_the_store_can_be_released(settled: Store) -> None:
    block = settled.get_block(5)
    assert block is not None
    for checkpoint in (Checkpoint(5, block.hash + 1, 1), Checkpoint(10**6, 1, 1)):
        with pytest.raises(StoreReplaced, match="were about to be released, but this block of the store"):
            settled.mark_released(checkpoint)
    settled.mark_released(block.checkpoint)
    settled.mark_released(settled.blocks(3, 3).__next__().checkpoint)
    assert settled.released() == block.checkpoint, "it never moves back"


# Killed anywhere


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "_BATCH_ROWS", 4)
    monkeypatch.setattr(releases, "_BATCH_BLOCKS", 3)


@contextmanager
def killed_at(write: int) -> Iterator[None]:
    """The process ends after it has committed so many transactions."""
    transaction, left = Session.transaction, [write]

    @contextmanager
    def counted(session: Session) -> Iterator[None]:
        if not left[0]:
            raise _Killed
        left[0] -= 1
        with transaction(session):
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "transaction", counted)
        yield


@pytest.mark.parametrize("writes", [1, 2])
def test_killed_after_each_write_it_loses_nothing(
    settled: Store, archived: Archive, open_archive: OpenArchive, small_batches: None, writes: int
) -> None:
    before, kills, is_done = rows_of(settled), 0, False
    while not is_done:
        with killed_at(writes), suppress(_Killed):
            release(settled, archived)
            is_done = True
        kills += not is_done
        assert rows_of(joined(settled, open_archive)) == before
    assert kills > 4
    assert sum(settled.delete_released()) == 0


# What works after a release


def verified(store: Store, folder: Path) -> verify.Report:
    return verify.verify(store, folder, Engine())


def rebuilt(store: Store, folder: Path, from_block: int) -> None:
    trail = Trail(folder)
    letters = DeadLetters(store, folder, SystemClock())
    try:
        rebuilding.rebuild(
            store, trail=trail, letters=letters, clock=SystemClock(), stop=lambda: False, options=Options(),
            from_block=from_block,
        )  # fmt: skip
    finally:
        trail.close()


@pytest.mark.parametrize("from_block", [1, 5, 13, 20])
def test_projections_are_rebuilt_verified_and_released_again(
    settled: Store, archived: Archive, open_archive: OpenArchive, tmp_path: Path, from_block: int
) -> None:
    whole = joined(settled, open_archive)
    rebuilt(whole, tmp_path, 1)  # writes the CSV trail
    before = rows_of(whole)
    release(settled, archived, FIRST)
    assert verified(whole, tmp_path).ok

    rebuilt(whole, tmp_path, from_block)

    report = verified(whole, tmp_path)
    assert report.ok, report.differences
    assert rows_of(whole) == before
    assert (release(settled, archived, FIRST).rows > 0) == (from_block <= 12)
    assert rows_of(whole) == before


def test_the_archive_is_verified_and_restored(settled: Store, archived: Archive, open_archive: OpenArchive) -> None:
    release(settled, archived, FIRST)
    report = verification.verify(archived, joined(settled, open_archive), Engine())
    assert (report.ok, report.compared_with_store) == (True, 12)
    wanted = {name: rows for name, rows in rows_of(joined(settled, open_archive)).items() if name == "trades"}
    last = archived.complete()[-1].last.number
    empty(settled)
    restore(open_archive(), settled)
    restored = rows_of(settled)
    assert restored["trades"] == [trade for trade in wanted["trades"] if trade.block_number <= last]
    assert settled.released() == NOTHING_YET


def test_later_days_are_archived_and_released(settled: Store, archived: Archive, open_archive: OpenArchive) -> None:
    before = rows_of(settled)
    release(settled, archived, FIRST)
    whole = joined(settled, open_archive)
    assert archive_days(whole, open_archive()).days == []
    assert release(settled, archived).days == [SECOND]
    assert rows_of(whole) == before, "a store that is open sees the next release"


def test_an_engine_and_late_followers_get_all_blocks(
    settled: Store, archived: Archive, open_archive: OpenArchive
) -> None:
    wanted = [block.data for block in settled.blocks(1)]
    release(settled, archived)
    history = StoreHistory(joined(settled, open_archive), lambda: iter(()), NO_CLAIM, sleep=lambda seconds: None)
    engine = Engine()
    for block, data in zip(history.blocks(1), wanted, strict=True):
        assert engine.follow(block).data == data
    assert [block.data for block in history.blocks(20)] == wanted[19:]


def test_blocks_that_are_released_while_they_are_read_are_not_missing(
    settled: Store, archived: Archive, open_archive: OpenArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.stores.sql.lookups.BLOCK_PAGE", 2)
    wanted = list(settled.blocks(1))
    for first in (1, 3):
        reading = joined(settled, open_archive).blocks(first)
        begun = [next(reading)]
        release(settled, archived, FIRST if first == 1 else SECOND)
        assert [*begun, *reading] == wanted[first - 1 :]


# An archive that cannot be read


def test_an_archive_that_is_away_is_told_and_new_rows_are_found(
    settled: Store, archived: Archive, open_archive: OpenArchive
) -> None:
    release(settled, archived)
    assert isinstance(archived.location, Path)
    away = archived.location.with_name("away")
    archived.location.rename(away)
    whole = joined(settled, lambda: archived)
    newest = whole.newest_trades(1)
    with pytest.raises(StoreMisconfigured, match="cannot be read: The archive has no manifest of 2026-01-31"):
        whole.get_block(1)
    away.rename(archived.location)
    assert whole.get_block(1) is not None
    (file,) = (archived.location / archived.complete()[0].tables["trades"].files[0].path,)
    file.rename(file.with_suffix(".away"))
    with pytest.raises(StoreUnavailable, match="Rows that are released to the archive cannot be read"):
        whole.newest_trades(10**6)
    assert whole.newest_trades(1) == newest


def test_another_archive_is_refused(settled: Store, archived: Archive, tmp_path: Path) -> None:
    release(settled, archived)
    other = archive_in(tmp_path / "other")
    blocks = chain_of_days(step_ns=STEP_NS - 1).blocks
    empty(settled)
    settle(settled, blocks)
    archive_days(settled, other)
    empty(settled)
    settle(settled, chain_of_days().blocks)
    release(settled, archived)
    with pytest.raises(StoreMisconfigured, match="correct ARCHIVE"):
        joined(settled, lambda: other).get_block(1)

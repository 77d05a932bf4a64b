"""Stores that are restored from the archive."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from archive import verification
from archive.archive import Archive
from archive.archiving import archive_days
from archive.restoring import restore_blocks
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS
from settlement.errors import NotReady, StoreNotEmpty
from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.base import Store, StoreUnavailable
from tests.archive.conftest import OpenArchive
from tests.archive.days import EPOCH, archive_in, chain_of_days, settle
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import empty, tables


def restore(archive: Archive, store: Store) -> None:
    """Blocks from the archive, then their rows."""
    restore_blocks(archive, store, Engine())
    projector = Projector(EmptyTables(), kept=None)
    for row in store.blocks(1):
        store.insert_batch(projector.project([Block.decode(row.data)]))


def archived_part(store: Store, archive: Archive) -> dict[str, list[Any]]:
    """The tables of the same store, settled to the last archived block only."""
    last = archive.complete()[-1].last.number
    blocks = [Block.decode(row.data) for row in store.blocks(1, last)]
    empty(store)
    settle(store, blocks)
    return tables(store)


def test_a_restored_store_has_the_same_rows(settled: Store, open_archive: OpenArchive) -> None:
    archive_days(settled, open_archive())
    wanted = archived_part(settled, open_archive())
    empty(settled)

    restore(open_archive(), settled)

    assert tables(settled) == wanted
    assert verification.verify(open_archive(), settled, Engine()).ok


def test_a_restore_that_ended_in_between_is_continued(
    settled: Store, open_archive: OpenArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_days(settled, open_archive())
    wanted = archived_part(settled, open_archive())
    empty(settled)
    settled.begin_epoch(EPOCH)
    append = settled.append_blocks
    monkeypatch.setattr("archive.restoring._BATCH_BLOCKS", 2)

    def append_one(blocks: Any) -> None:
        append(blocks[:1])
        raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(settled, "append_blocks", append_one)
    with pytest.raises(StoreUnavailable):
        restore(open_archive(), settled)
    assert settled.appended().block_number == 1
    monkeypatch.setattr(settled, "append_blocks", append)

    restore(open_archive(), settled)

    assert tables(settled) == wanted


def test_a_store_with_other_blocks_is_refused(settled: Store, open_archive: OpenArchive) -> None:
    archive_days(settled, open_archive())
    empty(settled)
    settle(settled, chain_of(DEFINITIONS).blocks)
    with pytest.raises(StoreNotEmpty, match="The store has another block 3 than the archive"):
        restore_blocks(open_archive(), settled, Engine())


def test_an_empty_archive_restores_nothing(store: Store, open_archive: OpenArchive) -> None:
    with pytest.raises(NotReady, match="no complete day"):
        restore_blocks(open_archive(), store, Engine())


def test_the_next_days_are_archived_from_a_restored_store(store: Store, open_archive: OpenArchive) -> None:
    blocks = chain_of_days().blocks
    settle(store, blocks[:14])
    done = archive_days(store, open_archive())
    assert done.last is not None
    empty(store)
    restore(open_archive(), store)
    projector = Projector(EmptyTables(), kept=None)
    store.append_blocks([stored(block) for block in blocks[done.last.last.number :]])
    for block in blocks:
        rows = projector.project([block])
        if block.number > done.last.last.number:
            store.insert_batch(rows)

    archive_days(store, open_archive())

    assert verification.verify(open_archive(), store, Engine()).ok


@pytest.mark.slow
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 30))
def test_random_streams_archived_verified_and_restored_give_the_same_rows(
    store: Store, tmp_path: Path, seed: int, block_size: int, hours: int
) -> None:
    empty(store)
    archive = archive_in(tmp_path / f"{seed}-{block_size}-{hours}-{time.monotonic_ns()}")
    chain = chain_of_days(random_commands(seed, 300), block_size=block_size, step_ns=hours * 3600 * 10**9)
    settle(store, chain.blocks)

    if archive_days(store, archive).last is None:
        return

    assert verification.verify(archive, store, Engine()).ok
    wanted = archived_part(store, archive)
    empty(store)
    restore(archive, store)
    assert tables(store) == wanted

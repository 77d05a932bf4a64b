"""A store, log and snapshots of layout 1 go on in today's layout: on every store, and after a stop at every step.

This program cannot execute blocks of layout 1: it applies their events.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matching.core import layout
from matching.core.block_diff import difference_when_executed
from matching.core.blocks import Block
from matching.core.clients import MIGRATION_CLIENT
from matching.core.codes import EventKind
from matching.core.engine import Engine
from matching.core.migrations.state import digest_of
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import SnapshotFolder
from matching.workloads.btc_usd import DEFINITIONS
from settlement.audit.verify import verify
from settlement.errors import ChainConflict, EarlierLayout, StoreDamaged
from settlement.maintenance import layout_migration
from settlement.maintenance.layout_migration import Migrated, migrate
from settlement.receive.chain import stored
from settlement.stores.base import Store
from simulator.trust.forged_blocks import encoded_again
from tests.matching.layout_1 import snapshot_of_layout_1
from tests.settlement.chains import Chain, chain_of, deposit, in_epoch, in_layout_1, order
from tests.settlement.conftest import Settle, empty, restarted
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.maintenance.conftest import epoch_of
from tests.settlement.maintenance.test_backup import bring_back, write
from tests.settlement.maintenance.test_restoring import LEADER, write_spill, write_wal

FUNDED = [deposit(n, asset, "1000", f"{asset}{n}") for n in (1, 2) for asset in ("BTC", "USD")]
PLAIN = [order(1 + n % 2, ("buy", "sell")[n % 3 % 2], f"{100 + n % 5}", "0.01") for n in range(80)]
"""Orders that layout 1 had too, and that the rules of all layouts match alike."""
BLOCKS = chain_of([*DEFINITIONS, *FUNDED, *PLAIN], 12).blocks
LAST = len(BLOCKS)
STORED = LAST // 2
"""The store has blocks up to this one, the write-ahead log has all."""


class Stopped(Exception):
    """In the middle of a migration."""


def folders_of(folder: Path) -> list[SnapshotFolder]:
    return [SnapshotFolder(LocalDisk(), folder / name, 3) for name in ("settlement-snapshots", "snapshots")]


def write_old_snapshots(folder: Path, engine: Engine) -> None:
    for snapshot_folder in folders_of(folder):
        snapshot_folder.write(engine.block_number, snapshot_of_layout_1(engine))


def run(store: Store, folder: Path) -> Migrated:
    return migrate(restarted(store), folder, folders_of(folder), LEADER)


@pytest.fixture
def old(store: Store, folder: Path) -> Chain:
    """What a program of layout 1 left: a store up to block STORED, a log and snapshots up to LAST."""
    chain = in_layout_1(BLOCKS)
    store.begin_epoch(epoch_of(1))
    store.append_blocks([stored(block) for block in chain.blocks[:STORED]])
    write_wal(folder, chain.blocks)
    write_old_snapshots(folder, chain.engine)
    return chain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


def blocks_in(store: Store) -> list[Block]:
    return [Block.decode(row.data) for row in restarted(store).blocks(1)]


def at_end(store: Store) -> Engine:
    """An engine that has followed the migrated chain from block 1 on."""
    engine = Engine()
    for block in blocks_in(store):
        assert not difference_when_executed(engine, block)
    return engine


def test_numbers_sequences_and_the_chain_go_on_after_the_migration_block(
    store: Store, folder: Path, old: Chain
) -> None:
    assert run(store, folder)[:3] == (LAST - STORED, [LAST + 1, LAST + 2], LAST + 2)
    blocks = blocks_in(store)
    assert [block.data for block in blocks[:LAST]] == [block.data for block in old.blocks]
    assert [(block.layout_version, block.number) for block in blocks[LAST:]] == [(2, LAST + 1), (3, LAST + 2)]
    assert blocks[LAST].prev_hash == old.engine.state_hash
    for begun in blocks[LAST:]:
        assert (begun.command_count, begun.event_count) == (0, 0)
        assert begun.first_command_sequence == old.engine.next_command_sequence
        assert begun.first_event_sequence == old.engine.next_event_sequence
        assert begun.timestamp_ns == old.blocks[-1].timestamp_ns


def test_the_state_is_what_the_old_chain_gives_and_its_digest_is_in_the_migration_block(
    store: Store, folder: Path, old: Chain
) -> None:
    run(store, folder)
    old.engine.clients.forget_all(old.engine.timestamp_ns)
    assert blocks_in(store)[LAST].requests.tolist() == [(MIGRATION_CLIENT, 2, 0, digest_of(old.engine), 0, 0)]
    for snapshot_folder in folders_of(folder):
        (found, *_) = snapshot_folder.newest_first()
        assert (found.block_number, found.layout_version) == (LAST + 2, layout.LAYOUT_VERSION)
        assert digest_of(found) == digest_of(at_end(store))
        assert (found.balances(), found.open_orders()) == (old.engine.balances(), old.engine.open_orders())


def test_settlement_goes_on_and_verifies_over_the_boundary(
    store: Store, folder: Path, old: Chain, settle: Settle, clock: FakeClock
) -> None:
    with pytest.raises(EarlierLayout, match=r"record layout 1, .* run manage\.py migrate_layout\."):
        settle(restarted(store), feed_of(clock, old.blocks[STORED:]))
    run(store, folder)
    engine = at_end(store)
    chain = Chain(engine=engine, client=engine.clients.floor + 1)
    more = chain.add(deposit(1, "USD", "5", "after-migration")).blocks
    assert settle(restarted(store), feed_of(clock, more)) == 1
    report = verify(restarted(store), folder, Engine())
    assert (report.differences, report.to_block, report.behind, report.not_executed) == ([], LAST + 3, 0, LAST + 1)


def test_last_prices_and_the_numbers_of_trades_go_on(store: Store, folder: Path, old: Chain) -> None:
    run(store, folder)
    prices = [int(event["price"]) for block in old.blocks for event in block.events if event["kind"] == EventKind.TRADE]
    instrument = at_end(store).pools.instruments[0]
    assert (instrument["last_price"], instrument["trade_count"]) == (prices[-1], len(prices))


@pytest.mark.parametrize("snapshots", [[], [2], [2, LAST], [LAST + 5]])
def test_any_snapshots_will_do(store: Store, folder: Path, old: Chain, snapshots: list[int]) -> None:
    for snapshot_folder in folders_of(folder):
        shutil.rmtree(snapshot_folder.folder)
        for number in snapshots:
            snapshot_folder.write(number, snapshot_of_layout_1(in_layout_1(BLOCKS[:number]).engine))
    assert run(store, folder).begun == [LAST + 1, LAST + 2]
    assert at_end(store).balances() == old.engine.balances()


def test_events_that_do_not_give_the_state_of_an_old_snapshot_are_refused(store: Store, folder: Path) -> None:
    chain = in_layout_1(BLOCKS)
    store.begin_epoch(epoch_of(1))
    forged_chain = in_epoch([with_deposit(block) for block in chain.blocks], 1, 0)
    store.append_blocks([stored(block) for block in forged_chain])
    of_forged = chain.engine
    of_forged.state_hash = forged_chain[-1].hash
    write_old_snapshots(folder, of_forged)
    with pytest.raises(StoreDamaged, match=f"Blocks 1 to {LAST} of the store do not give the state in .*snapshot: "):
        run(store, folder)
    assert len(blocks_in(store)) == LAST


def with_deposit(block: Block) -> Block:
    """The block with larger deposits."""
    events = block.events.copy()
    events["amount"][events["kind"] == EventKind.DEPOSITED] += 1
    return encoded_again(block, events=events)


def test_settlement_without_snapshots_starts_from_the_events(
    store: Store, folder: Path, old: Chain, settle: Settle, clock: FakeClock
) -> None:
    run(store, folder)
    shutil.rmtree(folder / "settlement-snapshots")
    engine = at_end(store)
    more = Chain(engine=engine, client=engine.clients.floor + 1).add(deposit(1, "USD", "5", "more")).blocks
    assert settle(restarted(store), feed_of(clock, more)) == 1


def test_old_snapshots_whose_blocks_are_nowhere_are_rejected(store: Store, folder: Path, old: Chain) -> None:
    shutil.rmtree(folder / "wal")
    assert run(store, folder).block == STORED + 2
    for snapshot_folder in folders_of(folder):
        assert snapshot_folder.numbers() == []
        assert [path.suffix for path in snapshot_folder.folder.iterdir()] == [".unusable"]


def test_a_backup_of_a_migrated_store_is_restored_and_verified(
    store: Store, folder: Path, tmp_path: Path, old: Chain, settle: Settle, clock: FakeClock
) -> None:
    run(store, folder)
    engine = at_end(store)
    more = Chain(engine=engine, client=engine.clients.floor + 1).add(deposit(1, "USD", "5", "more")).blocks
    settle(restarted(store), feed_of(clock, more))
    place = write(restarted(store), folder, tmp_path / "backup")
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    empty(store)
    done = bring_back(restarted(store), folder, place)
    assert (done.verified.ok, done.verified.to_block, done.verified.not_executed) == (True, LAST + 3, LAST + 1)
    (found, *_) = folders_of(folder)[1].newest_first()
    assert (found.block_number, found.layout_version) == (LAST + 2, layout.LAYOUT_VERSION)


STEPS: dict[str, Callable[[pytest.MonkeyPatch, Store], Any]] = {
    "before the store is filled": lambda patch, store: patch.setattr(layout_migration, "fill", _stop),
    "before the chain is executed": lambda patch, store: patch.setattr(layout_migration, "_engine_at_end", _stop),
    "before the migration block": lambda patch, store: patch.setattr(Engine, "migrate", _stop),
    "before the block is stored": lambda patch, store: patch.setattr(layout_migration, "stored", _stop),
    "before the first snapshot": lambda patch, store: patch.setattr(layout_migration, "_write_snapshot", _stop),
    "between two snapshots": lambda patch, store: patch.setattr(SnapshotFolder, "write", _stop_at_second()),
}


def _stop(*arguments: Any, **options: Any) -> Any:
    raise Stopped


def _stop_at_second() -> Callable[..., None]:
    real = SnapshotFolder.write
    written: list[int] = []

    def write(self: SnapshotFolder, number: int, data: bytes) -> None:
        if written:
            raise Stopped
        written.append(number)
        real(self, number, data)

    return write


@pytest.mark.parametrize("step", STEPS)
def test_a_migration_that_was_stopped_is_completed_by_the_next_run(
    store: Store, folder: Path, old: Chain, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch:
        STEPS[step](patch, store)
        with pytest.raises(Stopped):
            run(store, folder)
    assert run(store, folder).block == LAST + 2
    done = blocks_in(store)
    assert [block.number for block in done] == list(range(1, LAST + 3))
    assert run(store, folder) == Migrated(0, [], LAST + 2, [])
    assert blocks_in(store) == done
    for snapshot_folder in folders_of(folder):
        assert snapshot_folder.numbers()[-1] == LAST + 2


def test_blocks_in_a_log_that_the_migrated_store_lacks_are_not_lost_silently(
    store: Store, folder: Path, old: Chain
) -> None:
    (folder / "wal").rename(folder / "of-another-machine")
    write_old_snapshots(folder, in_layout_1(BLOCKS[:STORED]).engine)
    run(store, folder)
    assert len(blocks_in(store)) == STORED + 2
    (folder / "of-another-machine").rename(folder / "wal")
    with pytest.raises(ChainConflict, match=f"Block {STORED + 2} in the write-ahead log"):
        run(store, folder)


def test_the_spill_is_carried_over_too(store: Store, folder: Path, old: Chain) -> None:
    (folder / "wal").rename(folder / "lost")
    write_spill(folder, old.blocks[STORED:])
    assert run(store, folder).filled == LAST - STORED


def test_nothing_is_done_in_an_empty_store(store: Store, folder: Path) -> None:
    assert run(store, folder) == Migrated(0, [], 0, [])
    assert blocks_in(store) == []

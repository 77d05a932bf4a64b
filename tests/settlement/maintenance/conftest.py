"""A DATA_DIR as engine and settlement leave it, made by the real parts, with a SQLite store of its own."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.node.follower import re_executed
from matching.storage.disk import LocalDisk
from matching.storage.input_logs.wal import WalLog
from matching.storage.key_files import KeyFolder
from matching.storage.local_keys import make_local_keys
from matching.storage.snapshot_files import SnapshotFolder
from settlement.durable.spill import Spill
from settlement.maintenance.diagnosis import diagnose
from settlement.maintenance.findings import Examination
from settlement.maintenance.inspection import Site, look
from settlement.project.trail import Trail
from settlement.receive.chain import stored
from settlement.stores.base import Store
from settlement.stores.sql import read_only
from settlement.stores.sql.store import SqlStore
from tests.settlement.conftest import empty, settle_in
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.file_stores import ALIAS, store_in
from tests.settlement.test_worker import BLOCKS

SNAPSHOT = 6
RECORD_BLOCKS = 2


@dataclass
class Kept:
    """What an exchange keeps; the methods put more there or damage it."""

    folder: Path
    store: SqlStore
    input_log: str = "wal"
    access: tuple[str, str] | None = None

    @property
    def database(self) -> Path:
        return self.folder / "exchange.sqlite3"

    def site(self) -> Site:
        return Site(
            data_dir=self.folder,
            store=lambda: read_only.opened(ALIAS),
            store_name=str(self.database),
            store_file=self.database,
            input_log=self.input_log,
            access=lambda: self.access,
        )

    def examine(self) -> Examination:
        self.store.close()
        return diagnose(look(self.site()))

    def codes(self) -> list[str]:
        return [finding.code for finding in self.examine().findings]

    def commands(self) -> dict[str, str]:
        return {finding.code: finding.command for finding in self.examine().findings}

    def remove_database(self) -> None:
        self.store.close()
        for path in self.folder.glob("exchange.sqlite3*"):
            path.unlink()

    def begin_store(self, blocks: Sequence[Block] = (), *, epochs: int = 1) -> None:
        """An empty store, then these blocks, which are not projected."""
        empty(self.store)
        for number in range(1, epochs + 1):
            self.store.begin_epoch(epoch_of(number))
        self.store.append_blocks([stored(block) for block in blocks])

    def write_wal(self, blocks: Sequence[Block], segment_bytes: int = 1 << 20) -> None:
        log = WalLog(self.folder / "wal", segment_bytes=segment_bytes)
        for start in range(0, len(blocks), RECORD_BLOCKS):
            log.append(blocks[start : start + RECORD_BLOCKS])
        log.close()

    def write_spill(self, blocks: Sequence[Block]) -> None:
        spill = Spill(self.folder / "spill", 1 << 30)
        spill.append(blocks)
        spill.close()

    def write_snapshot(self, blocks: Sequence[Block]) -> None:
        write_snapshot_of(self.folder, blocks)


def write_snapshot_of(folder: Path, blocks: Sequence[Block]) -> None:
    """A snapshot of the state after these blocks."""
    engine = Engine()
    for block in blocks:
        re_executed(engine, block)
    SnapshotFolder(LocalDisk(), folder / "snapshots", 3).write(engine.block_number, snapshots.encode(engine))


def epoch_of(number: int, first_block: int = 1, prev_hash: int = 0) -> Epoch:
    return Epoch(number, first_block, prev_hash, "an-engine", "tcp://a:1", "tcp://a:2", "tcp://a:3", 1)


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Path:
    """BLOCKS are in the store, in its rows, in the trail and in the write-ahead log; there is an older snapshot."""
    folder = tmp_path_factory.mktemp("kept") / "data"
    folder.mkdir(mode=0o700)
    with store_in(folder / "exchange.sqlite3", django_db_blocker) as store:
        store.begin_epoch(epoch_of(1))
        settle_into(folder, store, BLOCKS)
        made = Kept(folder, store)
        made.write_wal(BLOCKS)
        made.write_snapshot(BLOCKS[:SNAPSHOT])
        make_local_keys(KeyFolder(folder / "keys"))
    return folder


def settle_into(folder: Path, store: Store, blocks: Sequence[Block]) -> None:
    clock = FakeClock()
    feed, trail, spill = feed_of(clock, blocks), Trail(folder), Spill(folder / "spill", 1 << 30)
    settle_in(folder, store, feed, clock, trail=trail, spill=spill)
    trail.close()
    spill.close()


@pytest.fixture
def kept(kept_folder: Path, folder: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Kept]:
    """A copy of `kept_folder`."""
    shutil.copytree(kept_folder, folder)
    with store_in(folder / "exchange.sqlite3", django_db_blocker, is_made=True) as store:
        store.close()
        yield Kept(folder, store)

"""A backup gives the same exchange again, on every store; a bad one is refused with one sentence."""

import shutil
import stat
from pathlib import Path

import pytest

from matching.storage.key_files import KeyFolder
from matching.storage.local_keys import make_local_keys
from matching.workloads.btc_usd import DEFINITIONS
from settlement.errors import BackupUnusable, ChainConflict, StoreNotEmpty
from settlement.maintenance import backup, unpacking
from settlement.maintenance.restoring import Restored, restore
from settlement.receive.chain import stored
from settlement.stores.base import Store
from tests.settlement.chains import START_NS, Chain, in_epoch
from tests.settlement.conftest import empty, restarted, tables, trail_text
from tests.settlement.fakes import FakeClock
from tests.settlement.maintenance.conftest import epoch_of, settle_into, write_snapshot_of
from tests.settlement.maintenance.test_restoring import place_of, write_wal
from tests.settlement.test_worker import BLOCKS, LAST

BACKED_UP = LAST // 2


@pytest.fixture
def made(store: Store, folder: Path, tmp_path: Path) -> Path:
    """A backup of a store that holds the first half of BLOCKS; the store and its folder are lost."""
    folder.mkdir(mode=0o700)
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, BLOCKS[:BACKED_UP])
    write_snapshot_of(folder, BLOCKS[:2])
    (folder / "engine-id").write_text("an-engine\n")
    make_local_keys(KeyFolder(folder / "keys"))
    place = write(store, folder, tmp_path / "backup")
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    empty(store)
    return place


def write(store: Store, folder: Path, place: Path, *, with_root_key: bool = False) -> Path:
    backup.write(place, store=store, data_dir=folder, accounts="[]", with_root_key=with_root_key, time_ns=1)
    return place


def bring_back(store: Store, folder: Path, place: Path) -> Restored:
    manifest = backup.read(place)
    unpacking.refuse_other_content(store, manifest, place)
    unpacking.copy_files(place, folder)
    where = place_of(store, folder, FakeClock())
    return restore(where, lambda: False, [backup.source_of(place)], manifest.epochs)


def test_a_backup_gives_the_same_store_trail_and_keys(store: Store, folder: Path, made: Path) -> None:
    done = bring_back(store, folder, made)
    assert done.verified.ok, done.verified.differences
    found, lines = tables(store), trail_text(folder)
    assert (folder / "engine-id").read_text() == "an-engine\n"
    assert [path.name for path in (folder / "snapshots").iterdir()] == [f"{2:020d}.snapshot"]
    assert store.epochs() == [epoch_of(1)]

    shutil.rmtree(folder)
    folder.mkdir()
    empty(store)
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, BLOCKS[:BACKED_UP])
    assert found == tables(store)
    assert lines == trail_text(folder)


def test_blocks_after_the_backup_come_from_the_log(store: Store, folder: Path, made: Path) -> None:
    write_wal(folder, BLOCKS[BACKED_UP - 2 :])
    done = bring_back(store, folder, made)
    assert (done.filled.first, done.filled.last) == (1, LAST)
    assert done.verified.ok, done.verified.differences


def test_a_restore_that_was_killed_is_started_again(store: Store, folder: Path, made: Path) -> None:
    store.begin_epoch(epoch_of(1))
    store.append_blocks([stored(block) for block in BLOCKS[:3]])
    assert bring_back(restarted(store), folder, made).verified.ok


def test_a_restore_that_was_killed_while_it_took_blocks_of_the_log_is_started_again(
    store: Store, folder: Path, made: Path
) -> None:
    later = in_epoch(BLOCKS[BACKED_UP:], 2, BLOCKS[BACKED_UP - 1].hash)
    write_wal(folder, [*BLOCKS[:BACKED_UP], *later])
    store.begin_epoch(epoch_of(1))
    store.append_blocks([stored(block) for block in BLOCKS[:BACKED_UP]])
    store.begin_epoch(epoch_of(2, BACKED_UP + 1, BLOCKS[BACKED_UP - 1].hash)._replace(engine="this-engine"))
    store.append_blocks([stored(block) for block in later[:1]])
    done = bring_back(restarted(store), folder, made)
    assert (done.filled.first, done.filled.last) == (BACKED_UP + 2, LAST)
    assert done.verified.ok, done.verified.differences


def test_an_epoch_without_blocks_is_kept(store: Store, folder: Path, tmp_path: Path) -> None:
    """Or a leader of that epoch, which may still run, could not be told from the next one."""
    folder.mkdir(mode=0o700)
    store.begin_epoch(epoch_of(1))
    store.append_blocks([stored(block) for block in BLOCKS[:3]])
    store.begin_epoch(epoch_of(2, 4, BLOCKS[2].hash))
    place = write(store, folder, tmp_path / "backup")
    empty(store)
    store.begin_epoch(epoch_of(1))
    store.append_blocks([stored(block) for block in BLOCKS[:3]])
    bring_back(store, folder, place)
    assert store.epochs() == [epoch_of(1), epoch_of(2, 4, BLOCKS[2].hash)]


def test_a_store_with_other_epochs_is_refused(store: Store, folder: Path, made: Path) -> None:
    store.begin_epoch(epoch_of(1)._replace(engine="another-engine"))
    with pytest.raises(StoreNotEmpty, match="has other blocks or epochs than the backup"):
        bring_back(store, folder, made)


def test_a_store_with_other_blocks_is_refused(store: Store, folder: Path, made: Path) -> None:
    store.append_blocks([stored(block) for block in Chain(START_NS + 1).add(*DEFINITIONS).blocks])
    with pytest.raises(StoreNotEmpty, match="has other blocks or epochs than the backup"):
        bring_back(store, folder, made)


def test_a_log_of_another_exchange_is_refused(store: Store, folder: Path, made: Path) -> None:
    write_wal(folder, Chain(START_NS + 1).add(*DEFINITIONS).blocks)
    with pytest.raises(ChainConflict, match="differs from that in the backup"):
        bring_back(store, folder, made)
    assert store.appended().block_number == 0


def test_keys_of_another_exchange_are_refused(store: Store, folder: Path, made: Path) -> None:
    make_local_keys(KeyFolder(folder / "keys"))
    with pytest.raises(ChainConflict, match="are of another exchange than the backup"):
        bring_back(store, folder, made)


ON_SQL = pytest.mark.parametrize("store", ["sql"], indirect=True)


@ON_SQL
def test_a_backup_that_was_not_finished_is_refused(made: Path) -> None:
    (made / backup.MANIFEST).unlink()
    with pytest.raises(BackupUnusable, match=r"has no manifest\.json: it is no backup, or one that was not finished"):
        backup.read(made)


@ON_SQL
def test_every_file_that_was_changed_or_lost_is_named(made: Path) -> None:
    files = [path for path in made.rglob("*") if path.is_file() and path.name != backup.MANIFEST]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(BackupUnusable, match=path.name):
            backup.read(made)
        path.unlink()
        with pytest.raises(BackupUnusable, match=path.name):
            backup.read(made)
        path.write_bytes(data)
    backup.read(made)


@ON_SQL
def test_a_folder_that_holds_something_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "a-file").touch()
    with pytest.raises(BackupUnusable, match="is not empty: name a new folder"):
        write(store, folder, tmp_path / "used")


@ON_SQL
def test_the_root_key_is_copied_only_on_request_and_nothing_is_open(
    store: Store, folder: Path, made: Path, tmp_path: Path
) -> None:
    assert not (made / "keys" / "root.key").exists()
    assert (made / "keys" / "register.json").exists()
    make_local_keys(KeyFolder(folder / "keys"))
    with_root = write(store, folder, tmp_path / "with-root", with_root_key=True)
    assert (with_root / "keys" / "root.key").exists()
    for path in (*made.rglob("*"), *with_root.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

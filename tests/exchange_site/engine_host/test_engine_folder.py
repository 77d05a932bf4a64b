"""DATA_DIR is locked by one engine."""

from contextlib import closing
from pathlib import Path

import pytest

from exchange_site.engine_host import wiring
from exchange_site.engine_host.forked import ForkedWriter
from matching.core.errors import FolderInUse, LogDamaged
from matching.storage.snapshot_files import SnapshotFolder
from tests.exchange_site.engine_host.test_forked import StuckDisk
from tests.matching.exchanges import KernelExchange
from tests.matching.small_exchange import until


def test_a_folder_in_use_by_an_engine_is_refused_to_another_one(data_dir: Path) -> None:
    one = wiring.lock_data_folder()
    with pytest.raises(FolderInUse) as caught:
        wiring.lock_data_folder()
    assert str(caught.value) == (
        f"Another engine uses the folder {data_dir}: stop it first, or give this one a DATA_DIR of its own."
    )
    one.close()
    wiring.lock_data_folder().close()


def test_a_child_that_writes_a_snapshot_does_not_hold_the_lock_of_its_parent(data_dir: Path) -> None:
    """Otherwise a killed engine could not be restarted before the child ends."""
    parents = wiring.lock_data_folder()
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), data_dir / "snapshots", 3))

    def is_free() -> bool:
        try:
            wiring.lock_data_folder().close()
        except FolderInUse:
            return False
        return True

    with closing(writer):
        writer.begin(KernelExchange().engine)
        parents.close()
        until(is_free, "the child to leave the lock behind")


def test_the_memory_log_refuses_a_folder_with_a_damaged_wal(data_dir: Path) -> None:
    (data_dir / "wal").mkdir()
    (data_dir / "wal" / "00000000000000000001.wal").write_bytes(b"nothing that was ever written" * 100)
    with pytest.raises(LogDamaged, match=r"00000000000000000001\.wal is damaged at byte 0"):
        wiring._open_input_log("memory").unread_log()
    assert wiring._open_input_log("wal").unread_log() is None

"""DATA_DIR belongs to one engine."""

from contextlib import closing
from pathlib import Path

import pytest

from exchange_site.engine_host import wiring
from exchange_site.engine_host.forked_snapshots import ForkedWriter
from matching.core.errors import FolderInUse, LogDamaged
from matching.storage.snapshot_files import SnapshotFolder
from tests.exchange_site.engine_host.test_forked_snapshots import StuckDisk
from tests.matching.exchanges import KernelExchange
from tests.matching.small_exchange import until


def test_a_folder_that_an_engine_uses_is_refused_to_another_one(data_dir: Path) -> None:
    one = wiring.own_folder()
    with pytest.raises(FolderInUse) as caught:
        wiring.own_folder()
    assert str(caught.value) == (
        f"Another engine uses the folder {data_dir}: stop it first, or give this one a DATA_DIR of its own."
    )
    one.close()
    wiring.own_folder().close()


def test_a_child_that_writes_a_snapshot_does_not_keep_its_parents_folder(data_dir: Path) -> None:
    """Else an engine that was killed could not be started again before it ends."""
    parents = wiring.own_folder()
    writer = ForkedWriter(SnapshotFolder(StuckDisk(), data_dir / "snapshots", 3))

    def is_free() -> bool:
        try:
            wiring.own_folder().close()
        except FolderInUse:
            return False
        return True

    with closing(writer):
        writer.begin(KernelExchange().engine)
        parents.close()
        until(is_free, "the child to leave the lock behind")


def test_the_log_in_memory_knows_of_the_folder_of_the_other_one(data_dir: Path) -> None:
    (data_dir / "wal").mkdir()
    (data_dir / "wal" / "00000000000000000001.wal").write_bytes(b"nothing that was ever written" * 100)
    with pytest.raises(LogDamaged, match=r"00000000000000000001\.wal is damaged at byte 0"):
        wiring._open_input_log("memory").left_behind()
    assert wiring._open_input_log("wal").left_behind() is None

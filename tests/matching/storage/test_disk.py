"""New folders and their names are synced to the disk before files in them are used."""

import os
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.storage.disk import AppendFile, LocalDisk, make_folder
from matching.storage.segments import Segments


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders and files in the order in which they were synced."""
    found: list[Path] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def sync(file: int, real: object = real) -> None:
            assert callable(real)
            real(file)
            found.append(Path(f"/proc/self/fd/{file}").readlink())

        monkeypatch.setattr(os, name, sync)
    return found


def test_each_new_folder_is_synced_before_it_is_used(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert [(tmp_path / name).stat().st_mode & 0o077 for name in ("a", "a/b", "a/b/c")] == [0, 0, 0]
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 3, "nothing was made"
    LocalDisk().append_to(tmp_path / "d" / "file").close()
    LocalDisk().hold(tmp_path / "e" / "lock").close()
    assert synced[3:] == [tmp_path, tmp_path]


class DyingDisk(LocalDisk):
    """The process dies after creating a folder and before syncing the folder's name."""

    def append_to(self, path: Path) -> AppendFile:
        path.parent.mkdir()
        raise KeyboardInterrupt


def test_a_logs_folder_is_synced_before_its_first_record(
    tmp_path: Path, blocks: list[Block], synced: list[Path]
) -> None:
    folder = tmp_path / "wal"
    with pytest.raises(KeyboardInterrupt):
        Segments(DyingDisk(), folder, ".wal", "").append(blocks[:1])
    assert synced == []
    log = Segments(LocalDisk(), folder, ".wal", "")
    log.append(blocks[:1])
    log.append(blocks[1:2])
    log.close()
    (file,) = folder.iterdir()
    assert synced == [folder, tmp_path, file, file]

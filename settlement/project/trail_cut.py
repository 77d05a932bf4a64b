"""Takes the lines of later trades out of the CSV trail, for blocks that are no longer part of the chain."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from matching.storage.disk import LocalDisk, make_folder
from settlement.errors import TrailUnusable
from settlement.project.trail import HEADER, NAME, files_of

_DRAFT = ".part"


def cut(folder: Path, first_trade: int, kept: Path) -> None:
    """Moves the lines of trade `first_trade` and later to files of the same name in the folder `kept`.

    The last file that has lines left becomes the current one, because the next trades may be of the same day. No
    process may have the trail open. After a crash call it again. Raises TrailUnusable.
    """
    try:
        for path in reversed(files_of(folder)):
            if not _cut_file(path, first_trade, kept):
                break
        left = files_of(folder)
        if left and left[-1].name != NAME:
            LocalDisk().rename(left[-1], folder / NAME)
            LocalDisk().sync_folder(folder)
    except OSError as error:
        raise TrailUnusable(f"{error.filename or folder} cannot be changed: {error.strerror}.") from error


def _cut_file(path: Path, first_trade: int, kept: Path) -> bool:
    """Whether all lines were taken out, so that the file before it may have such lines too."""
    with path.open("rb") as file:
        at = _offset_of(file, path, first_trade)
        is_empty = at <= len(HEADER) + 1
        file.seek(at)
        if file.read(1):
            file.seek(at)
            _keep(file, kept / path.name)
    if is_empty:
        LocalDisk().remove(path)
    else:
        whole = LocalDisk().append_to(path)
        whole.truncate(at)
        whole.sync()
        whole.close()
    return is_empty


def _offset_of(file: BinaryIO, path: Path, first_trade: int) -> int:
    """Where the first line of such a trade begins; the end of the file if there is none."""
    at = 0
    for line in file:
        trade_id = line.partition(b",")[0]
        if at and not trade_id.isdigit():
            raise TrailUnusable(f"{path} has a line that is none of the trail: {line[:80]!r}.")
        if at and int(trade_id) >= first_trade:
            break
        at += len(line)
    return at


def _keep(file: BinaryIO, to: Path) -> None:
    """Writes the rest of the file, under a header."""
    make_folder(to.parent)
    draft = to.with_name(to.name + _DRAFT)
    with draft.open("wb") as copy:
        copy.write(f"{HEADER}\n".encode())
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())
    LocalDisk().rename(draft, to)
    LocalDisk().sync_folder(to.parent)

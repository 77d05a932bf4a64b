"""Files that only this account may read or change. What others could have written is refused before it is read.

The checks are made on the opened file, so that it cannot be exchanged between the check and the reading.
"""

import os
import stat
from pathlib import Path

from matching.core.errors import KeysUnusable

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def read_private(path: Path, max_bytes: int, *, is_secret: bool = True) -> bytes | None:
    """The content of a file; None if it does not exist.

    Others must not be able to change it, nor to read it if it `is_secret`. Raises KeysUnusable.
    """
    try:
        # Not blocking: opening a named pipe would wait for a writer.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise _symbolic_link(path) from error
        raise KeysUnusable(f"{path} cannot be read: {error.strerror}.") from error
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise KeysUnusable(f"{path} is not a file.")
        _refuse_shared(path, found, _OTHERS if is_secret else _OTHERS_WRITE, "600" if is_secret else "644")
        if found.st_size > max_bytes:
            raise KeysUnusable(f"{path} has {found.st_size} bytes, more than the {max_bytes} that it may have.")
        with os.fdopen(os.dup(file), "rb") as opened:
            return opened.read(max_bytes)
    except OSError as error:
        raise KeysUnusable(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        os.close(file)


def refuse_shared_folder(folder: Path) -> None:
    """Raises KeysUnusable unless `folder` is this account's alone, or does not exist."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise KeysUnusable(f"{folder} cannot be read: {error.strerror}.") from error
    if stat.S_ISLNK(found.st_mode):
        raise _symbolic_link(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise KeysUnusable(f"{folder} is not a folder.")
    _refuse_shared(folder, found, _OTHERS, "700")


def _refuse_shared(path: Path, found: os.stat_result, forbidden: int, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise KeysUnusable(
            f"{path} belongs to another account: make sure that nobody changed it, then run chown {os.geteuid()} {path}"
            "."
        )
    if found.st_mode & forbidden:
        done = "read or change" if forbidden == _OTHERS else "change"
        raise KeysUnusable(f"Other accounts can {done} {path}: run chmod {mode} {path}.")


def _symbolic_link(path: Path) -> KeysUnusable:
    return KeysUnusable(f"{path} is a symbolic link: replace it with the file that it points to.")

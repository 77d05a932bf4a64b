"""Access to DATA_DIR: it holds keys, secrets and the ledger, so it is for the exchange's own account only."""

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

FOR_OTHERS = 0o077
ROOT = 0
_NAMED = 3
"""Folders that the advice names; for more of them it names DATA_DIR."""


def make_private(folder: Path) -> None:
    """Removes the access of other accounts to the folder and all folders in it that this account owns."""
    for path, status in _content(folder):
        if stat.S_ISDIR(status.st_mode) and status.st_mode & FOR_OTHERS and status.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(status.st_mode) & ~FOR_OTHERS)


def foreign_owner(folder: Path) -> tuple[Path, str] | None:
    """The first file or folder of another account except root, and the name of that account; None if there is none."""
    for path, status in _content(folder):
        if status.st_uid not in (ROOT, os.geteuid()):
            return path, account(status.st_uid)
    return None


def open_to_others(folder: Path) -> list[tuple[Path, int]]:
    """Folders that other accounts can read, write or enter, with their modes; the outermost first."""
    return [
        (path, stat.S_IMODE(status.st_mode))
        for path, status in _content(folder)
        if stat.S_ISDIR(status.st_mode) and status.st_mode & FOR_OTHERS
    ]


def closing_command(folder: Path, found: list[tuple[Path, int]]) -> str:
    """The shell command that removes the access of other accounts to the folders `found` below `folder`."""
    if len(found) > _NAMED:
        return f"chmod -R go-rwx {shlex.quote(str(folder))}"
    return f"chmod 700 {' '.join(shlex.quote(str(path)) for path, _ in found)}"


def account(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:  # an account of another machine or container
        return f"user id {user_id}"


def _content(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The folder and all that is in it. Links to folders count as folders: `wal` may be on another disk."""
    yield folder, folder.stat()
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            try:
                yield Path(entry.path), entry.stat(follow_symlinks=False)
                if entry.is_symlink() and entry.is_dir():
                    yield Path(entry.path), entry.stat()
            except FileNotFoundError:  # removed meanwhile by another program of the exchange
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, PermissionError):  # removed meanwhile; or root's, such as `lost+found`
        return []

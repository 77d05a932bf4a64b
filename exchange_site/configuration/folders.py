"""Access to DATA_DIR: it holds keys, secrets and the ledger, so it is for the exchange's own account only."""

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOR_OTHERS = 0o077
ROOT = 0
_NAMED = 3
"""Folders that the advice names; for more of them it names DATA_DIR."""


class Problem(NamedTuple):
    """Who else has access to a folder (`text`). `advice` introduces `command`, which ends this access."""

    text: str
    advice: str
    command: str


def problem_of(folder: Path) -> Problem | None:
    """The first problem with who owns the folder and its content, and with who can enter it."""
    if foreign := foreign_owner(folder):
        path, owner = foreign
        return Problem(
            f"{path} belongs to another account ({owner}), but DATA_DIR must hold this account's files only.",
            "Run as that account; or check the file, then",
            f"chown -R {account(os.geteuid())} {shlex.quote(str(folder))}",
        )
    if found := open_to_others(folder):
        path, mode = found[0]
        text = f"Other accounts of this machine have access to {path} (mode {mode:04o}), which holds secrets."
        return Problem(text, "Run", closing_command(folder, found))
    return None


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

"""A lock on DATA_DIR, so that only one settlement process writes its trail and the store's checkpoints."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matching.storage.disk import make_folder
from settlement.errors import AlreadyRunning, CannotRun

NAME = "settlement.lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Held until the block ends or the process dies. Raises AlreadyRunning, CannotRun."""
    try:
        make_folder(folder)
        file = (folder / NAME).open("a")
    except OSError as error:
        raise CannotRun(f"{folder / NAME} cannot be opened: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(f"Another settlement process uses {folder}: stop it first.") from error
        yield

"""How far blocks are loaded into StarRocks, in a file that survives a crash.

The end of a batch is written before the batch is loaded. So a run that was killed repeats the same batch under the same
labels, which StarRocks commits once.
"""

import json
import secrets
from pathlib import Path
from typing import NamedTuple

from analytics.errors import StarRocksRefused
from matching.storage.disk import Disk

_ID_BYTES = 6


class Progress(NamedTuple):
    run: str  # begins the labels; another one if everything is loaded anew
    next_block: int
    through: int  # the last block of the batch that is being loaded; 0: none is


class ProgressFile:
    """Every method raises OSError."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def read(self) -> Progress:
        """A new one if there is no file. Raises StarRocksRefused if it is damaged."""
        if not self._disk.exists(self._path):
            return Progress(secrets.token_hex(_ID_BYTES), 1, 0)
        with self._disk.open(self._path) as file:
            text = file.read()
        try:
            found = json.loads(text)
            return Progress(str(found["run"]), int(found["next_block"]), int(found["through"]))
        except (ValueError, KeyError, TypeError) as error:
            raise StarRocksRefused(
                f"{self._path} is damaged: delete it, and all blocks are loaded again; rows replace themselves."
            ) from error

    def write(self, progress: Progress) -> None:
        """Durable and atomic."""
        self._disk.write_whole(self._path, json.dumps(progress._asdict()).encode())

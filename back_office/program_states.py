"""What `make run` tells the pages about its programs: a file that the supervisor writes and the overview reads.

Without `make run` there is no such file: then systemd or Compose know the programs, and the pages show nothing of them.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

LONGEST_FILE_BYTES = 1 << 16


class Status(StrEnum):
    RUNNING = "running"
    RESTARTING = "restarting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ProgramState:
    name: str
    status: Status
    restarts: int
    last_end: str
    """How the last process that was replaced ended, such as "ended with status 1"; "" if none was."""
    last_end_s: float | None
    """When, in seconds since 1970 UTC."""

    @property
    def last_end_at(self) -> datetime | None:
        return None if self.last_end_s is None else datetime.fromtimestamp(self.last_end_s, UTC)


def write(file: Path, states: Sequence[ProgramState]) -> None:
    """Replaces the file as a whole. Raises OSError."""
    document = {"supervisor": os.getpid(), "programs": [asdict(state) for state in states]}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(document), encoding="utf-8")
    new.replace(file)


def read(file: Path) -> list[ProgramState]:
    """The states of the programs; none if no supervisor runs, or if the file cannot be read."""
    try:
        with file.open(encoding="utf-8") as opened:
            document = json.loads(opened.read(LONGEST_FILE_BYTES))
        os.kill(document["supervisor"], 0)
        return [ProgramState(**{**found, "status": Status(found["status"])}) for found in document["programs"]]
    except (OSError, ValueError, KeyError, TypeError):  # no file, another version's file, or a killed supervisor's
        return []

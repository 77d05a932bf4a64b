"""A journal on disk of how far a file of commands was submitted. A batch is recorded before it is sent.

An engine applies a client's numbered command at most once. A resumed submission uses the same client id, gives every
line its earlier number and sends the same batches, so nothing is placed twice. A line that the edge refused has no
number and stays refused.
Records are written without a buffer: they survive a crash of this process, but not of the machine.

    {"file":…,"bytes":…,"xxh3":…,"client":…,"layout":…}            first record: the file and the client id
    {"number":…,"lines":[[first,last],…],"refused":[[line,command,reason],…]}    a batch that is about to be sent
    {"answered":…,"line":…,"refused":…,"counts":{…}}    everything up to this number and line is answered; whether the
                                                        edge refused that line
"""

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import xxhash

from matching.client.jsonlines import dumps
from matching.core.clients import new_id
from matching.core.errors import BadFile
from matching.core.layout import LAYOUT_VERSION

_READ_BYTES = 1 << 20


class JournalUnusable(BadFile):
    """The journal cannot be written. The batch that it should have recorded was not sent."""


class Refused(NamedTuple):
    """A refused command; `command` is its name, None if unknown."""

    line: int
    command: str | None
    reason: str


class Identity(NamedTuple):
    """Identifies a file by its content."""

    size: int
    digest: str


@dataclass
class Position:
    """The progress of a submission: `line` and `number` are the last ones that were answered, 0 for none.
    `line_is_refused` says whether the edge refused that line; so does the lack of one.

    Later lines in `numbered` were sent with the numbers after `number`, in batches that end with the lines in `ends`;
    those in `refused` were refused at the edge.
    """

    line: int = 0
    number: int = 0
    line_is_refused: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    numbered: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    refused: dict[int, Refused] = field(default_factory=dict)

    def apply(self, record: dict[str, Any]) -> None:
        """Applies a record. Raises KeyError, TypeError, ValueError if it is not valid."""
        if "answered" in record:
            self.number, self.line, self.counts = record["answered"], record["line"], record["counts"]
            self.line_is_refused = record["refused"]
            self.numbered = {line for line in self.numbered if line > self.line}
            self.ends = {line for line in self.ends if line > self.line}
            self.refused = {line: one for line, one in self.refused.items() if line > self.line}
        else:
            for first, last in record["lines"]:
                self.numbered.update(range(first, last + 1))
            self.ends.update(last for _, last in record["lines"][-1:])
            self.refused.update((one[0], Refused(*one)) for one in record["refused"])


class Journal:
    """The journal of one file, opened by `begin` or `resume`. Only one process at a time can hold it."""

    def __init__(self, stored: BinaryIO, client_id: int, position: Position) -> None:
        self._stored = stored
        self.client_id = client_id
        self.position = position

    @classmethod
    def begin(cls, path: Path, file: Path) -> Self:
        """Begins a submission with the first line; deletes earlier records. Raises JournalUnusable, BadFile."""
        stored, identity = _open_locked(path, file), _identity(file)
        client_id = new_id(time.time_ns(), secrets.randbits(64))
        try:
            os.truncate(stored.fileno(), 0)
            head = {"file": str(file), "bytes": identity.size, "xxh3": identity.digest, "client": client_id}
            _append(stored, {**head, "layout": LAYOUT_VERSION})
            os.fsync(stored.fileno())
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(stored, client_id, Position())

    @classmethod
    def resume(cls, path: Path, file: Path) -> Self:
        """Continues an earlier submission of the file; begins with the first line if there is none. Raises BadFile."""
        stored = _open_locked(path, file)
        try:
            content = stored.read()
            whole = content.rfind(b"\n") + 1  # the last record may be torn: then its batch was not sent
            os.truncate(stored.fileno(), whole)
        except OSError as error:
            raise _unwritable(path, error) from error
        if not whole:
            stored.close()
            return cls.begin(path, file)
        try:
            head, position = _read(content[:whole])
            identity, client_id = Identity(head["bytes"], head["xxh3"]), int(head["client"])
            layout_version = head.get("layout", 1)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadFile(f"{path} is damaged: it is unknown how far {file} was submitted.") from error
        if layout_version != LAYOUT_VERSION:
            raise BadFile(
                f"{file} was begun with record layout {layout_version}, whose requests the exchange no longer answers: "
                f"its lines up to {position.line} are answered. Look up which of the later lines were applied, and "
                "submit the others as a new file."
            )
        if identity != _identity(file):
            raise BadFile(f"{file} has changed since it was submitted: it cannot be resumed.")
        return cls(stored, client_id, position)

    def record_batch(self, number: int, lines: Sequence[int], refused: Iterable[Refused]) -> None:
        """Records a batch before it is sent: `lines` get the numbers from `number` on. Raises BadFile."""
        self._write({"number": number, "lines": _runs(lines), "refused": [list(one) for one in refused]})

    def record_answered(self, number: int, line: int, line_is_refused: bool, counts: dict[str, int]) -> None:
        """Records that everything up to this number and line is answered, and whether the edge refused that line.

        Raises BadFile.
        """
        self._write({"answered": number, "line": line, "refused": line_is_refused, "counts": counts})

    def close(self) -> None:
        self._stored.close()

    def _write(self, record: dict[str, Any]) -> None:
        try:
            _append(self._stored, record)
        except OSError as error:
            raise _unwritable(Path(self._stored.name), error) from error


def path_for(folder: Path, file: Path) -> Path:
    """The journal of `file` in `folder`."""
    full_path = str(file.resolve())
    return folder / f"{file.name[:64]}-{xxhash.xxh3_64_hexdigest(full_path.encode(errors='surrogateescape'))}.jsonl"


def _read(content: bytes) -> tuple[dict[str, Any], Position]:
    """The first record and the progress. Raises ValueError, KeyError, TypeError."""
    head, *records = [json.loads(line) for line in content.splitlines()]
    position = Position()
    for record in records:
        position.apply(record)
    return head, position


def _open_locked(path: Path, file: Path) -> BinaryIO:
    """Opens the journal unbuffered, so that a record is one write. Raises BadFile, also if another process holds it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stored = path.open("ab+", buffering=0)
        stored.seek(0)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(stored, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        with suppress(OSError):
            stored.close()
        raise BadFile(f"{file} is being submitted by another process: wait for its end.") from error
    return stored


def _identity(file: Path) -> Identity:
    """Raises BadFile."""
    digest, size = xxhash.xxh3_64(), 0
    try:
        with file.open("rb") as content:
            while piece := content.read(_READ_BYTES):
                digest.update(piece)
                size += len(piece)
    except (OSError, ValueError) as error:
        raise BadFile(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return Identity(size, digest.hexdigest())


def _runs(lines: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as [first, last] of each run of consecutive ones."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return runs


def _append(stored: BinaryIO, record: dict[str, Any]) -> None:
    """Raises OSError."""
    line = f"{dumps(record)}\n".encode()
    if stored.write(line) < len(line):  # a partial write: the disk is full
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unwritable(path: Path, error: OSError) -> JournalUnusable:
    return JournalUnusable(f"{path} cannot be written: {error.strerror}.")

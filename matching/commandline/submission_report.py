"""The output of `submit`: refused commands, progress so far, and the journal from which it can resume."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tqdm import tqdm

from matching.client.jsonlines import dumps
from matching.client.submission import Submission
from matching.client.submission_journal import Journal, JournalUnusable, Refused, path_for
from matching.core.errors import BadFile

_MAX_PRINTED = 20


class Choices(NamedTuple):
    """The options of `submit`. `refused`: file for all refused commands; `journals`: folder of the journals."""

    file: Path
    resume: bool
    refused: Path | None
    as_json: bool
    journals: Path


def so_far(submission: Submission) -> str:
    answered = submission.sent - submission.unanswered
    return (
        f"{answered} of {submission.sent} commands were answered, those up to line {submission.answered_line}"
        f"{'; --resume continues there' if submission.client_id else ''}"
    )


@contextmanager
def kept_journal(chosen: Choices, say: Callable[[str], object]) -> Iterator[Journal | None]:
    """The open journal; None if the commands come from a pipe or DATA_DIR cannot be written. Raises BadFile."""
    path = path_for(chosen.journals, chosen.file)
    if not chosen.file.is_file():
        if chosen.resume:
            raise BadFile("--resume needs a file, because a pipe cannot be read again.")
        yield None
        return
    try:
        journal = (Journal.resume if chosen.resume else Journal.begin)(path, chosen.file)
    except JournalUnusable as error:
        if chosen.resume:
            raise
        say(f"{error} This run cannot be resumed.")
        yield None
        return
    if chosen.resume and not journal.position.line:
        say(f"{path.parent} has no record of an answered line of {chosen.file}: submitting from its first line.")
    with closing(journal):
        yield journal


class Report:
    """Reports refused commands: the first ones on standard error, all of them in the chosen file or JSON document."""

    def __init__(
        self, chosen: Choices, journal: Journal | None, bar: "tqdm[Any]", say: Callable[[str], object]
    ) -> None:
        self._bar = bar
        self._say = say
        self._count = 0
        self._all: list[Refused] | None = [] if chosen.as_json else None
        after = journal.position.line if journal else 0
        self._file = refusal_file(chosen, after) if chosen.refused else None

    def add(self, refused: Refused) -> None:
        """Raises BadFile."""
        self._count += 1
        if self._all is not None:
            self._all.append(refused)
        elif self._count <= _MAX_PRINTED:
            self._bar.clear()
            self._say(f"line {refused.line}: {refused.command or 'command'} refused: {refused.reason}")
        if self._file:
            self._write(self._file, refused)

    @staticmethod
    def _write(file: TextIO, refused: Refused) -> None:
        try:
            file.write(dumps(refused._asdict()) + "\n")
        except OSError as error:
            raise BadFile(f"{file.name} cannot be written: {error.strerror}.") from error

    def document(self, submission: Submission) -> dict[str, Any]:
        rows = {} if self._all is None else {"refused": [one._asdict() for one in self._all]}
        return {**rows, **submission.summary()}

    def close(self) -> None:
        if self._all is None and self._count > _MAX_PRINTED:
            self._say(f"and {self._count - _MAX_PRINTED} more refused commands; --refused FILE has them all")
        if self._file:
            self._file.close()


def refusal_file(chosen: Choices, answered_line: int) -> TextIO:
    """Opens the file of refused commands. With --resume it keeps the rows of answered lines. Raises BadFile."""
    path = chosen.refused
    assert path is not None
    if path.exists() and chosen.file.exists() and path.samefile(chosen.file):
        raise BadFile(f"{path} is the input file: name another file for the refused commands.")
    try:
        if chosen.resume and path.is_file():
            os.truncate(path, bytes_up_to(path, answered_line))
            return path.open("a", encoding="utf-8", newline="\n", buffering=1)
        return path.open("w", encoding="utf-8", newline="\n", buffering=1)
    except OSError as error:
        raise BadFile(f"{path} cannot be written: {error.strerror}.") from error


def bytes_up_to(path: Path, line: int) -> int:
    """Size of an earlier run's rows up to this line. Later lines are sent again, and their rows are written again."""
    size = 0
    with path.open("rb") as rows:
        try:
            for row in rows:
                if not row.endswith(b"\n") or json.loads(row)["line"] > line:
                    break
                size += len(row)
        except (ValueError, KeyError, TypeError) as error:
            raise BadFile(f"{path} holds other data than refused commands: name another file.") from error
    return size

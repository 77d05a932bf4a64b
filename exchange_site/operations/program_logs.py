"""What the programs of `make run` write: all of it into files, and to the terminal what a person has to know.

DATA_DIR/logs/NAME.log holds everything. The terminal gets what a program logs as a warning or graver, and what it
writes to standard error in another form: the sentence of a failed command, a traceback.
"""

import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from exchange_site import logs
from exchange_site.operations.supervisor import Line
from matching.storage.disk import make_folder

SHOWN_CHARACTERS = 400
"""Of one line on the terminal; its file has the whole."""

Say = Callable[[str], None]


class ProgramLogs:
    """Takes lines from several threads. Raises OSError where the folder or a file cannot be made."""

    def __init__(self, folder: Path, *, max_bytes: int, kept: int, say: Say, verbose: bool) -> None:
        """`max_bytes` of each file; beside it the newest `kept` full ones, NAME.log.1 and on, stay."""
        make_folder(folder)
        self._folder, self._max_bytes, self._kept = folder, max_bytes, kept
        self._say, self._verbose = say, verbose
        self._files: dict[str, _File] = {}

    def open(self, program: str) -> None:
        path = self._folder / f"{program}.log"
        self._files[program] = _File(path, max_bytes=self._max_bytes, kept=self._kept, say=self._say)

    def __call__(self, line: Line) -> None:
        self._files[line.program].write(line.text)
        if self._verbose:
            self._say(str(line))
        elif line.is_error and line.text and not logs.is_routine(line.text):
            self._say(self._shortened(line))

    def _shortened(self, line: Line) -> str:
        text = str(line)
        if len(text) <= SHOWN_CHARACTERS:
            return text
        return f"{text[:SHOWN_CHARACTERS]}… (the whole line is in {self._folder / line.program}.log)"

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _File(RotatingFileHandler):
    """The library's rotation by size, for lines that come from elsewhere."""

    def __init__(self, path: Path, *, max_bytes: int, kept: int, say: Say) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8", errors="replace")
        self._path, self._say, self._has_failed = path, say, False

    def write(self, line: str) -> None:
        self.handle(logging.makeLogRecord({"msg": line}))

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not end the exchange, and is said once."""
        if not self._has_failed:
            self._has_failed = True
            self._say(f"{self._path} cannot be written to: lines are missing there from now on.")

"""Output of the programs of `make run`: everything into files, and important lines to the terminal.

DATA_DIR/logs/NAME.log has all lines. The terminal shows log events of level warning and above, and everything on
standard error that is not a log event: the error message of a failed command, a traceback.
"""

import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from exchange_site import logs
from exchange_site.operations.child_process import Line
from matching.storage.disk import make_folder

SHOWN_CHARACTERS = 400
"""Longer lines are cut on the terminal; the file has the full line."""

Say = Callable[[str], None]


class ProgramLogs:
    """Thread-safe. Raises OSError if the folder or a file cannot be created."""

    def __init__(self, folder: Path, *, max_bytes: int, kept: int, say: Say, verbose: bool) -> None:
        """`max_bytes`: size at which a file is rotated; `kept`: number of rotated files (NAME.log.1, …) per program."""
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
        return f"{text[:SHOWN_CHARACTERS]}… (the full line is in {self._folder / line.program}.log)"

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _File(RotatingFileHandler):
    """Uses the standard library's rotation by size for lines that are not log records."""

    def __init__(self, path: Path, *, max_bytes: int, kept: int, say: Say) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8", errors="replace")
        self._path, self._say, self._has_failed = path, say, False

    def write(self, line: str) -> None:
        self.handle(logging.makeLogRecord({"msg": line}))

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not stop the exchange: reported once, then ignored."""
        if not self._has_failed:
            self._has_failed = True
            self._say(f"{self._path} cannot be written: lines will be missing from it.")

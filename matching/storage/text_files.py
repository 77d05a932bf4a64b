"""Text files of people: read line by line in bounded memory, written whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from matching.core.errors import BadFile

MOST_CHARACTERS = 1 << 20
"""No command comes near: a longer line is not kept in memory."""

TOO_LONG = "a line of more than 1 MiB"
"""Stands for such a line; it is no JSON."""


def lines_of(path: Path) -> Iterator[str]:
    r"""The lines of a UTF-8 file, which end with \n or \r\n. Raises BadFile, at once when it cannot be opened."""
    try:
        file = path.open(encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise BadFile(f"{path} cannot be read: {_why(error)}.") from error
    return _lines(file, path)


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    with file:
        try:
            while line := file.readline(MOST_CHARACTERS):
                if len(line) < MOST_CHARACTERS or line.endswith("\n"):
                    yield line
                    continue
                while line and not line.endswith("\n"):
                    line = file.readline(MOST_CHARACTERS)
                yield TOO_LONG
        except UnicodeDecodeError as error:
            raise BadFile(f"{path} is not UTF-8 text: {error.reason}.") from error
        except OSError as error:
            raise BadFile(f"{path} cannot be read: {_why(error)}.") from error


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file that takes the place of `path` when all was written, and leaves it as it was otherwise.

    A pipe or a device is written to directly. Raises BadFile when the file cannot be made.
    """
    try:
        path = path.resolve()
        direct = path.exists() and not stat.S_ISREG(path.stat().st_mode)
        draft = path if direct else path.with_name(f".{path.name}.{os.getpid()}.part")
        file = draft.open("w", encoding="utf-8", newline="\n")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that go in a circle
        raise BadFile(f"{path} cannot be written: {_why(error)}.") from error
    try:
        with file:
            yield file
        if not direct:
            draft.replace(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be written: {_why(error)}.") from error
    finally:
        if not direct:
            draft.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)

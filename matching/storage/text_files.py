"""Text files that users name: read line by line in bounded memory, written completely or not at all."""

import codecs
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from matching.core.errors import BadFile

MAX_LINE_BYTES = 1 << 20
"""Far longer than any command: a longer line is not kept in memory."""

TOO_LONG = "a line of more than 1 MiB"
"""Returned instead of such a line; it is not valid JSON."""

STANDARD_INPUT = Path("-")


def lines_of(path: Path) -> Iterator[str]:
    r"""The lines of a UTF-8 file, or of standard input for "-". Only \n ends a line; a byte order mark is left out.

    Raises BadFile: at once if the file cannot be opened, during iteration if it cannot be read or a line is not UTF-8.
    """
    if path == STANDARD_INPUT:
        return _lines(sys.stdin.buffer, "standard input")
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise BadFile(f"{path} cannot be read: {_reason(error)}.") from error
    return _lines(file, str(path))


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    number = 1
    with file:
        try:
            while line := _line(file):
                yield line.removeprefix("\ufeff") if number == 1 else line
                number += 1
        except UnicodeDecodeError as error:
            raise BadFile(f"{name} is not UTF-8 text: line {number} has {error.reason}.") from error
        except OSError as error:
            raise BadFile(f"{name} cannot be read: {_reason(error)}.") from error


def _line(file: BinaryIO) -> str:
    """The next line with its end, "" after the last one. Raises UnicodeDecodeError, OSError."""
    piece = file.readline(MAX_LINE_BYTES)
    if len(piece) < MAX_LINE_BYTES or piece.endswith(b"\n"):
        return piece.decode()
    decoder = codecs.getincrementaldecoder("utf-8")()
    while piece and not piece.endswith(b"\n"):
        decoder.decode(piece)
        piece = file.readline(MAX_LINE_BYTES)
    decoder.decode(piece, final=True)
    return TOO_LONG


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file that replaces `path` when the block ends without an error; otherwise `path` is unchanged.

    A pipe or a device is written to directly. Raises BadFile if the file cannot be created or written.
    """
    try:
        path = path.resolve()
        direct = path.exists() and not stat.S_ISREG(path.stat().st_mode)
        draft = path if direct else path.with_name(f".{path.name}.{os.getpid()}.part")
        file = draft.open("w", encoding="utf-8", newline="\n")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        raise BadFile(f"{path} cannot be written: {_reason(error)}.") from error
    try:
        with file:
            yield file
        if not direct:
            draft.replace(path)
    except OSError as error:
        raise BadFile(f"{path} cannot be written: {_reason(error)}.") from error
    finally:
        if not direct:
            draft.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)

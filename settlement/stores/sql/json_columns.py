"""Columns as JSON arrays, to the byte as SQLite and PostgreSQL write them, without a Python object for each value."""

from pathlib import Path

import numpy as np

from ledger.api import compiled, inlined
from settlement.stores.base.columns import ABSENT, Column, Integers, Names, Numbers, OptionalNumbers, Words
from settlement.stores.base.text_writing import (
    MAX_DIGITS,
    SOURCE,
    Characters,
    json_pieces_of,
    put_number,
    put_piece,
)

_QUOTE, _ESCAPE = ord('"'), ord("\\")
_COMMA, _END = ord(","), ord("]")
_NULL = np.frombuffer(b"null", np.uint8).copy()
_compiled = compiled(Path(__file__), SOURCE)


def json_array(column: Column) -> bytes | None:
    """`[1,null,"text"]`; None for a column of Python objects, which is not written here."""
    out = np.empty(2 + len(column) * _most_of(column), np.uint8)
    out[0] = ord("[")
    if isinstance(column, Numbers | OptionalNumbers):
        end = _write_numbers(np.ascontiguousarray(column.array, np.int64), _NULL, out)
    elif isinstance(column, Words):
        pieces = json_pieces_of(column.texts)
        codes = np.ascontiguousarray(column.codes, np.int64)
        end = _write_words(codes, pieces.characters, pieces.starts, out)
    elif isinstance(column, Names):
        end = _write_names(np.ascontiguousarray(column.characters), _NULL, out)
    else:
        return None
    return out[:end].tobytes()


def _most_of(column: Column) -> int:
    """The most characters of a value, with what is before or after it."""
    if isinstance(column, Words):
        return json_pieces_of(column.texts).longest + 1
    if isinstance(column, Names):
        return 2 * int(column.characters.shape[1]) + len(_NULL) + 1
    return MAX_DIGITS + 1


@_compiled
def _write_numbers(values: Integers, null: Characters, out: Characters) -> int:
    at = 1
    for place in range(len(values)):
        if values[place] == ABSENT:
            for character in null:
                out[at] = character
                at += 1
        else:
            at = put_number(out, at, values[place])
        out[at] = _COMMA
        at += 1
    return _closed(out, at)


@_compiled
def _write_words(codes: Integers, characters: Characters, starts: Integers, out: Characters) -> int:
    at = 1
    for place in range(len(codes)):
        at = put_piece(out, at, characters, starts, codes[place])
        out[at] = _COMMA
        at += 1
    return _closed(out, at)


@_compiled
def _write_names(names: Characters, null: Characters, out: Characters) -> int:
    at = 1
    for place in range(len(names)):
        name = names[place]
        if name[0] == 0:
            for character in null:
                out[at] = character
                at += 1
        else:
            out[at] = _QUOTE
            at += 1
            for character in name:
                if character == 0:
                    break
                if character in (_QUOTE, _ESCAPE):
                    out[at] = _ESCAPE
                    at += 1
                out[at] = character
                at += 1
            out[at] = _QUOTE
            at += 1
        out[at] = _COMMA
        at += 1
    return _closed(out, at)


@inlined
def _closed(out: Characters, at: int) -> int:
    """Ends the array in place of the comma after its last value."""
    if at > 1:
        at -= 1
    out[at] = _END
    return at + 1

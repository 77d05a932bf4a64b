"""Numbers and texts as characters in an array, for compiled loops that write rows as text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ledger.api import inlined
from settlement.stores.base.columns import Integers

Characters = npt.NDArray[np.uint8]

SOURCE = Path(__file__)
"""For `ledger.api.compiled`, in modules that compile these functions into theirs."""

MAX_DIGITS = 20
"""The longest int64, with its sign."""

_ZERO, _MINUS = ord("0"), ord("-")


class Pieces(NamedTuple):
    """Texts one after another: text `n` is from `starts[n]` to `starts[n + 1]`."""

    characters: Characters
    starts: Integers
    longest: int


def pieces_of(texts: Sequence[str]) -> Pieces:
    data = [text.encode() for text in texts]
    starts = np.zeros(len(data) + 1, np.int64)
    starts[1:] = np.cumsum([len(piece) for piece in data], dtype=np.int64)
    characters = np.array(bytearray(b"".join(data)), np.uint8)
    return Pieces(characters, starts, max(map(len, data), default=0))


def json_pieces_of(texts: Sequence[str | None]) -> Pieces:
    """The texts as JSON."""
    return pieces_of([json.dumps(text, ensure_ascii=False) for text in texts])


@inlined
def put_number(out: Characters, at: int, value: int) -> int:
    """Writes a number that is greater than the lowest int64; returns where it ends."""
    if value < 0:
        out[at] = _MINUS
        at += 1
        value = -value
    end = at + 1
    left = value // 10
    while left > 0:
        left //= 10
        end += 1
    place = end
    while place > at:
        place -= 1
        rest = value // 10
        out[place] = _ZERO + value - 10 * rest
        value = rest
    return end


@inlined
def put_piece(out: Characters, at: int, characters: Characters, starts: Integers, number: int) -> int:
    """Writes text `number` of Pieces; returns where it ends."""
    for place in range(starts[number], starts[number + 1]):
        out[at] = characters[place]
        at += 1
    return at

"""Re-executes blocks, and describes the first difference between two versions of one: byte offset, record, field."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.hashes import hash_text

Bytes = npt.NDArray[np.uint8]


class ReExecutor(Protocol):
    """An engine that re-executes blocks: the method of `matching.core.engine.Engine` that is needed here."""

    def follow(self, block: Block) -> Block:
        """Executes a block's commands at its time; returns the resulting block. Raises MatchingError."""


def difference_when_executed(engine: ReExecutor, block: Block) -> str:
    """Executes the commands of a block: how the result differs from the block, "" if it is the same, byte for byte.

    Raises MatchingError for commands that the engine refuses.
    """
    own = engine.follow(block)
    return "" if own.data == block.data else difference(own, block) or "the bytes differ"


def difference(expected: Block, found: Block) -> str:
    """The first difference in byte order as a sentence, "" if the blocks are equal.

    The block hash differs whenever anything else does, so it is named only if it is the only difference. If a count in
    the header differs, the first differing record is named as well.
    """
    differences = _differences(expected, found)
    return "; ".join(text for text, _ in zip(differences, range(2), strict=False))


def _differences(expected: Block, found: Block) -> Iterator[str]:
    """The first differing header field except the hash.

    If there is none or it is a count, the first differing record.
    """
    names = _differing_fields(_header(expected), _header(found))
    of_header = [name for name in names if name != "hash"]
    for name in of_header[:1]:
        yield _field_difference("the header", name, 0, _header(expected), _header(found))
    if not of_header or of_header[0].endswith(("_count", "_size")):
        yield from _body_differences(expected, found)
    if names == ["hash"] and expected.data[_BODY_AT:] == found.data[_BODY_AT:]:
        yield _field_difference("the header", "hash", 0, _header(expected), _header(found))


def _body_differences(expected: Block, found: Block) -> Iterator[str]:
    start = _BODY_AT
    for what, ours, theirs in (
        ("request", expected.requests, found.requests),
        ("command", expected.commands, found.commands),
        ("event", expected.events, found.events),
    ):
        at = _first_differing(_bytes(ours), _bytes(theirs))
        if at is not None:
            yield _record_difference(what, start, at, ours, theirs)
            return
        start += ours.nbytes
    at = _first_differing(_bytes(expected.texts), _bytes(found.texts))
    if at is not None:
        wanted, had = _excerpt(expected.texts, at), _excerpt(found.texts, at)
        yield f"byte {start + at}, in the texts: {wanted} expected, {had} found"


def _record_difference(what: str, start: int, at: int, ours: Records, theirs: Records) -> str:
    index = at // ours.itemsize
    if index >= min(len(ours), len(theirs)):
        return f"byte {start + at}: {len(ours)} {what}s expected, {len(theirs)} found"
    name = next(name for name in _differing_fields(ours[index], theirs[index]))
    return _field_difference(f"{what} {index}", name, start + index * ours.itemsize, ours[index], theirs[index])


def _field_difference(of: str, name: str, record_at: int, ours: Any, theirs: Any) -> str:
    """One difference as text. `record_at` is the record's offset in the block, in bytes."""
    fields = ours.dtype.fields
    first = record_at + int(fields[name][1])
    within = _first_differing(_bytes(ours[name].tobytes()), _bytes(theirs[name].tobytes())) or 0
    return f"byte {first + within}, {name} of {of}: {_formatted(name, ours)} expected, {_formatted(name, theirs)} found"


def _formatted(name: str, record: Any) -> str:
    value = record[name]
    if name.endswith("hash"):
        return hash_text(int(value))
    return str(value.tolist())


def _differing_fields(ours: Any, theirs: Any) -> list[str]:
    """Names of the differing fields in byte order, padding included."""
    return [name for name in ours.dtype.names if ours[name].tobytes() != theirs[name].tobytes()]


def _header(block: Block) -> Any:
    return np.frombuffer(block.data, layout.BLOCK_HEADER, 1)[0]


def _bytes(of: Records | bytes) -> Bytes:
    return np.frombuffer(of if isinstance(of, bytes) else of.tobytes(), np.uint8)


def _first_differing(ours: Bytes, theirs: Bytes) -> int | None:
    """Index of the first differing byte, or the length of the shorter one if it is a prefix; None if they are equal."""
    common = min(len(ours), len(theirs))
    different = np.flatnonzero(ours[:common] != theirs[:common])
    if len(different):
        return int(different[0])
    return None if len(ours) == len(theirs) else common


def _excerpt(texts: bytes, at: int) -> str:
    return repr(texts[at : at + 16].decode("ascii", "backslashreplace"))


_BODY_AT = layout.BLOCK_HEADER.itemsize

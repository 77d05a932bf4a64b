"""Strings that travel with commands: client order ids and references. The kernel sees their hashes only."""

from collections.abc import Iterable

import xxhash


def hashes(texts: bytes, lengths: Iterable[int]) -> list[int]:
    """The `text_hash` of each of the strings that follow one another in `texts`."""
    end = 0
    found = []
    for length in lengths:
        start, end = end, end + length
        found.append(text_hash(texts[start:end]))
    return found


def text_hash(text: bytes) -> int:
    """xxh3_64 of a string; 0 for the empty one. A string whose hash is 0 counts as none: 1 in 2^64."""
    return xxhash.xxh3_64_intdigest(text) if text else 0

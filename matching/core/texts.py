"""Hashes of the strings in commands: client order ids, references, definitions. The kernel works on the hashes only."""

from collections.abc import Iterable

import xxhash


def hashes(texts: bytes, lengths: Iterable[int]) -> list[int]:
    """The `text_hash` of each string in `texts`, which holds strings of these lengths one after the other."""
    end = 0
    found = []
    for length in lengths:
        start, end = end, end + length
        found.append(text_hash(texts[start:end]))
    return found


def text_hash(text: bytes) -> int:
    """xxh3_64 of a string, 0 for the empty one. A string that hashes to 0 (1 in 2^64) is treated as absent."""
    return xxhash.xxh3_64_intdigest(text) if text else 0

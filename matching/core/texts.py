"""Hashes of the strings in commands: client order ids, references, definitions. The kernel works on the hashes only."""

from collections.abc import Iterable

import xxhash

SEPARATOR = b"\x1f"
"""Between the two strings of a command that has a second one, which `text_hash` does not cover.

Strings are printable, so it is in none of them.
"""


def hashes(texts: bytes, lengths: Iterable[int]) -> list[int]:
    """The `text_hash` of each command whose strings, of these lengths, follow one another in `texts`."""
    has_second = SEPARATOR in texts
    end = 0
    found = []
    for length in lengths:
        start, end = end, end + length
        text = texts[start:end]
        found.append(text_hash(text.partition(SEPARATOR)[0] if has_second else text))
    return found


def text_hash(text: bytes) -> int:
    """xxh3_64 of a string, 0 for the empty one. A string that hashes to 0 (1 in 2^64) is treated as absent."""
    return xxhash.xxh3_64_intdigest(text) if text else 0


def signed(value: int) -> int:
    """The int64 with the same 64 bits as a hash."""
    return value - (1 << 64) if value >> 63 else value

"""A program: prints a hash of what `replay` gives for each vector and block size, across a snapshot in the middle."""

import json
import sys

import xxhash

from matching.client.jsonlines import dumps
from matching.client.replay import replay
from tests.matching.vectors import NAMES, lines_of_vector

BLOCK_SIZES = (1, 7, 512)


def output_hash(name: str, block_size: int) -> str:
    lines = lines_of_vector(name)
    found = replay(lines, block_size=block_size, snapshot_at=len(lines) // 2)
    return xxhash.xxh3_64_hexdigest("\n".join(map(dumps, found)).encode())


if __name__ == "__main__":
    json.dump({f"{name} {size}": output_hash(name, size) for name in NAMES for size in BLOCK_SIZES}, sys.stdout)

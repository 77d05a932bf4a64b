"""A program: runs a seeded stream of commands through a fresh engine and prints the state hash and the state digest.

`test_kernel_modes` starts it once for each way of running the kernel.
"""

import json
import sys

from matching.client.replay import replay
from tests.reference.streams import random_lines


def main(seed: int, count: int) -> None:
    """Restores from a snapshot half-way, so that restored memory is tested too."""
    *_, summary = replay(random_lines(seed, count, instruments=3), block_size=50, snapshot_at=count // 2)
    json.dump({name: summary[name] for name in ("commands", "trades", "state_hash", "state_digest")}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

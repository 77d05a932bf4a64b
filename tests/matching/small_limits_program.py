"""A program: compares the interpreted kernel with the reference engine where the work of a command is bounded closely.

`test_bounded_work` starts it with NUMBA_DISABLE_JIT=1: compiled, the limits of the kernel are constants.
"""

import json
import sys

from matching.core.kernel import limits as kernel_limits
from tests.matching.exchanges import KernelExchange, lines
from tests.reference.limits import Limits
from tests.reference.streams import RandomStream


def main(seed: int, count: int, met: int, command_events: int, singly: int) -> None:
    """Restores the kernel from snapshots, also while triggered orders are left in the queue."""
    kernel_limits.MAX_MET, kernel_limits.MAX_COMMAND_EVENTS = met, command_events
    kernel_limits.LOOKED_AT_SINGLY = singly
    limits = Limits(makers=met, cancelled=met, events=command_events)
    stream = RandomStream(seed, instruments=1 + seed % 3, accounts=2 + seed % 6, limits=limits)
    kernel = KernelExchange()
    left = at_limit = 0
    for number in range(1, count + 1):
        command, expected = stream.step()
        assert lines(kernel.submit(command)) == lines(expected), f"command {number}: {command}"
        at_limit += any(event.get("reason") == "work_limit" for event in expected)
        if stream.exchange.state.queue:
            left += 1
            kernel.restart()
        if number % 100 == 0:
            assert kernel.state() == stream.exchange.rows(), f"after command {number}"
    json.dump({"trades": stream.exchange.trade_count, "left_in_queue": left, "at_work_limit": at_limit}, sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""The clock that dates blocks: the reading of a clock, unless it is implausible.

Block times never decrease, so one reading far in the future would date all later blocks. The engine that makes a block
checks the reading; all others take the time from the block. A leader uses its machine's clock. Replicas use only the
log's time of each message, so that all of them decide alike.
"""

from collections.abc import Callable

import structlog

from matching.node.status import StatusBoard
from matching.storage.timestamps import LAST_TIMESTAMP_NS, usable_ns

MAX_AHEAD_NS = 86_400 * 10**9
"""A clock that advances by more than a day over the elapsed time has jumped."""

_BEYOND = "reads a time after 2200-01-01"
_RESTART = "Correct the clock; if it is right now, as after the machine was suspended, restart this engine."

log = structlog.get_logger(__name__)


class BlockClock:
    """The clock of a leader. A call returns nanoseconds since the Unix epoch, at most LAST_TIMESTAMP_NS.

    Implausible readings are not used: time then continues from the last plausible one, by the monotonic clock. Before
    the first plausible reading it returns 0, and a block gets the time of the block before it.
    """

    def __init__(
        self, time_ns: Callable[[], int], monotonic: Callable[[], float], board: StatusBoard, newest_ns: int
    ) -> None:
        """`monotonic` gives monotonic seconds; `newest_ns` is the time of the newest block, 0 if there is none."""
        self._time_ns = time_ns
        self._monotonic = monotonic
        self._report = _Report(board)
        self._newest_ns = newest_ns
        self._anchor_ns: int | None = None  # the newest plausible reading, and when it was read
        self._anchor_s = 0.0

    def __call__(self) -> int:
        reading_ns, now_s = self._time_ns(), self._monotonic()
        if self._anchor_ns is None:
            expected_ns = 0
            reason = _BEYOND if usable_ns(reading_ns) != reading_ns else ""
        else:
            expected_ns = min(self._anchor_ns + int((now_s - self._anchor_s) * 1e9), LAST_TIMESTAMP_NS)
            reason = _implausible_reason(reading_ns, reading_ns - expected_ns)
        self._report.report(reason and f"This machine's clock {reason}: blocks are not dated by it. {_RESTART}")
        if reason:
            return expected_ns
        if self._anchor_ns is None:
            self._compare_with_newest(reading_ns)
        if reading_ns >= expected_ns:
            self._anchor_ns, self._anchor_s = reading_ns, now_s
        return reading_ns

    def _compare_with_newest(self, reading_ns: int) -> None:
        """Only warns, because the engine may really have been off for that long."""
        ahead_ns = reading_ns - self._newest_ns
        if self._newest_ns and ahead_ns > MAX_AHEAD_NS:
            log.warning("engine.clock_far_after_newest_block", days=ahead_ns // MAX_AHEAD_NS)


class LogTime:
    """The block time of a replica: a function of the log's time of the message only.

    This machine's clock is only used to detect that the log's clock has jumped.
    """

    def __init__(self, time_ns: Callable[[], int], board: StatusBoard) -> None:
        self._time_ns = time_ns
        self._report = _Report(board)
        self.now_ns = 0

    def take(self, message_ns: int) -> None:
        """Sets `now_ns` to the time of this message."""
        self.now_ns = usable_ns(message_ns)
        reason = _implausible_reason(message_ns, message_ns - self._time_ns())
        self._report.report(reason and f"The log's clock {reason}: correct its brokers' clocks, or this machine's.")


class _Report:
    """Reports an implausible clock once, in log, counters and status, until it is plausible again."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def report(self, sentence: str) -> None:
        """`sentence` is "" while the clock is plausible."""
        before = self._board.clock_fault
        self._board.clock_fault = sentence
        if sentence and not before:
            self._board.counters.clock_jumps += 1
            log.warning("engine.clock_implausible", reason=sentence)
        elif before and not sentence:
            log.info("engine.clock_plausible_again")


def _implausible_reason(reading_ns: int, ahead_ns: int) -> str:
    """Why a reading is implausible that is `ahead_ns` later than expected by elapsed time; "" if it is plausible."""
    if usable_ns(reading_ns) != reading_ns:
        return _BEYOND
    if ahead_ns > MAX_AHEAD_NS:
        return f"has jumped ahead by {ahead_ns // MAX_AHEAD_NS} days"
    return ""

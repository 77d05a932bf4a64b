"""Missing blocks: noticed, asked for again, and given up with an error when nobody has them."""

import structlog

from settlement import metrics
from settlement.clock import Clock
from settlement.errors import GapUnfilled
from settlement.options import Options
from settlement.receive.feed import Feed

log = structlog.get_logger(__name__)


class Gaps:
    """Watches one number: that of the next block."""

    def __init__(self, feed: Feed, clock: Clock, options: Options) -> None:
        self._feed = feed
        self._clock = clock
        self._options = options
        self._awaited = 0  # number that is missing, 0: none
        self._since = 0.0  # when it was first missed, or last asked for
        self._attempts = 0
        self._asked_to = 0  # last block of the newest request
        self.count = 0  # times that a number was missing

    def look(self, next_number: int, newest_early: int, announced: int) -> None:
        """Asks for block `next_number` where it must exist and does not come. Raises GapUnfilled.

        It exists if a later one came (`newest_early`) or the engine announced one; what is only announced may still
        be on its way.
        """
        known_to = max(newest_early, announced)
        if known_to < next_number:
            self._awaited = 0
            return
        now = self._clock.monotonic()
        continues = self._asked_to >= next_number - 1  # what was asked for is coming
        if next_number != self._awaited:
            self._awaited, self._since = next_number, now
            self._attempts = 1 if self._asked_to >= next_number else 0
        if self._attempts:
            self._wait_for_answer(now, known_to)
        elif newest_early or continues or now - self._since >= self._options.gap_grace_s:
            if not continues:
                self.count += 1
                metrics.SEQUENCE_GAPS.inc()
            self._ask(now, known_to)

    def forget(self) -> None:
        """Another engine is asked from now on, or the same one that has begun anew."""
        self._awaited = self._asked_to = 0

    def was_deaf(self, seconds: float) -> None:
        """Settlement did something else for so long; what was asked for may be waiting to be received."""
        self._since += seconds

    def _wait_for_answer(self, now: float, known_to: int) -> None:
        missing = self._feed.missing()
        if missing is not None and (missing[0] == self._awaited or missing[0] < self._awaited < missing[1]):
            raise GapUnfilled(
                f"Block {self._awaited} is missing and the engine does not have it any more; nothing was settled past "
                f"block {self._awaited - 1}."
            )
        if now - self._since < self._options.gap_retry_s * 2 ** (self._attempts - 1):
            return
        if self._attempts == self._options.gap_attempts:
            raise GapUnfilled(
                f"Block {self._awaited} is missing and did not come, though asked for {self._attempts} times; nothing "
                f"was settled past block {self._awaited - 1}."
            )
        self._ask(now, known_to)

    def _ask(self, now: float, known_to: int) -> None:
        self._attempts += 1
        self._since = now
        self._asked_to = min(known_to, self._awaited + self._options.request_blocks - 1)
        log.info("asking for blocks", first=self._awaited, last=self._asked_to, attempt=self._attempts)
        self._feed.request(self._awaited, self._asked_to)

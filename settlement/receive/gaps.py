"""Detects missing blocks, requests them again, and raises an error if they cannot be obtained."""

import structlog

from settlement import metrics
from settlement.clock import Clock
from settlement.errors import GapUnfilled
from settlement.options import Options
from settlement.receive.feed import Feed

log = structlog.get_logger(__name__)


class Gaps:
    """Checks whether the next block is missing."""

    def __init__(self, feed: Feed, clock: Clock, options: Options) -> None:
        self._feed = feed
        self._clock = clock
        self._options = options
        self._awaited = 0  # number of the missing block; 0: none
        self._since = 0.0  # when, in monotonic seconds, it was first missing or last requested
        self._attempts = 0
        self._requested_to = 0  # last block of the newest request
        self.count = 0  # number of gaps so far

    def check(self, next_number: int, newest_early: int, announced: int) -> None:
        """Requests block `next_number` if it exists and has not arrived. Raises GapUnfilled.

        It exists if a later block arrived (`newest_early`) or was announced. An announced block may still be in
        transit, so it is requested only after `gap_grace_s`.
        """
        known_to = max(newest_early, announced)
        if known_to < next_number:
            self._awaited = 0
            return
        now = self._clock.monotonic()
        # A request up to the block before was answered, so this is not a new gap.
        continues = self._requested_to >= next_number - 1
        if next_number != self._awaited:
            self._awaited, self._since = next_number, now
            self._attempts = 1 if self._requested_to >= next_number else 0
        if self._attempts:
            self._wait_for_answer(now, known_to)
        elif newest_early or continues or now - self._since >= self._options.gap_grace_s:
            if not continues:
                self.count += 1
                metrics.SEQUENCE_GAPS.inc()
            self._request(now, known_to)

    def forget(self) -> None:
        """Call when the engine changes or has restarted."""
        self._awaited = self._requested_to = 0

    def exclude(self, seconds: float) -> None:
        """Call with the time in which settlement did not receive: it does not count as waiting."""
        self._since += seconds

    def _wait_for_answer(self, now: float, known_to: int) -> None:
        missing = self._feed.missing()
        if missing is not None and (missing[0] == self._awaited or missing[0] < self._awaited < missing[1]):
            raise GapUnfilled(
                f"Block {self._awaited} is missing and the engine no longer has it; nothing was settled after block "
                f"{self._awaited - 1}."
            )
        if now - self._since < self._options.gap_retry_s * 2 ** (self._attempts - 1):
            return
        if self._attempts == self._options.gap_attempts:
            raise GapUnfilled(
                f"Block {self._awaited} is missing and did not arrive after {self._attempts} requests; nothing was "
                f"settled after block {self._awaited - 1}."
            )
        self._request(now, known_to)

    def _request(self, now: float, known_to: int) -> None:
        self._attempts += 1
        self._since = now
        self._requested_to = min(known_to, self._awaited + self._options.request_blocks - 1)
        log.info("settlement.blocks_requested", first=self._awaited, last=self._requested_to, attempt=self._attempts)
        self._feed.request(self._awaited, self._requested_to)

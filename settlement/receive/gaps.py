"""Detects missing blocks, requests them again, and raises an error if they cannot be obtained.

A gap is blocks that were lost in the middle of a stream that settlement followed: that is worth a warning. Requests are
no gap while settlement catches up:

    subscribed ──complete once──▶ following ──a long pause──▶ catching up ──CAUGHT_UP_S──▶ following
        ▲                              │
        └── another engine, or the engine restarted (`forget`)

A new subscription begins in the middle of the stream. In a long pause the queue of the subscription overflows.
"""

import structlog

from settlement import metrics
from settlement.clock import Clock
from settlement.errors import GapUnfilled
from settlement.options import Options
from settlement.receive.feed import Feed

log = structlog.get_logger(__name__)

LONG_PAUSE_S = 1.0
"""An engine may publish more blocks in this time than a subscription keeps."""
CAUGHT_UP_S = 5.0
"""Settlement follows the stream again when the queue has not been full for this time."""


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
        self._is_following = False  # no block was missing since the subscription began
        self._caught_up_at_s = 0.0  # when, in monotonic seconds, the queue of a pause counts as read
        self.count = 0  # number of gaps so far

    def check(self, next_number: int, newest_early: int, announced: int) -> None:
        """Requests block `next_number` if it exists and has not arrived. Raises GapUnfilled.

        It exists if a later block arrived (`newest_early`) or was announced. An announced block may still be in
        transit, so it is requested only after `gap_grace_s`.
        """
        known_to = max(newest_early, announced)
        if known_to < next_number:
            self._awaited = 0
            self._is_following = self._is_following or known_to > 0
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
            if not continues and self._is_following and now >= self._caught_up_at_s:
                self.count += 1
                metrics.SEQUENCE_GAPS.inc()
            self._request(now, known_to)

    def forget(self) -> None:
        """Call when the engine changes or has restarted."""
        self._awaited = self._requested_to = 0
        self._is_following = False

    def exclude(self, seconds: float) -> None:
        """Call with the time in which settlement did not receive: it does not count as waiting."""
        self._since += seconds
        if seconds >= LONG_PAUSE_S:
            self._caught_up_at_s = self._clock.monotonic() + CAUGHT_UP_S

    def note_full_receive(self) -> None:
        """Call when more blocks may have been waiting than were received."""
        now = self._clock.monotonic()
        if now < self._caught_up_at_s:
            self._caught_up_at_s = now + CAUGHT_UP_S

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

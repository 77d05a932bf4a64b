"""Retries of store calls with growing delays, as generators: the caller decides what to do in the delays.

    def step(self) -> StoreWork[int]:
        checkpoint = yield from self._retrier(self._store.appended)
        return checkpoint.block_number

The settlement worker receives blocks in the delays; a rebuild sleeps (`finish`).
"""

from collections.abc import Callable, Generator
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from settlement import metrics
from settlement.clock import Clock
from settlement.options import Options
from settlement.stores.base import StoreRejected, StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


StoreWork = Generator[float, None, T]
"""Work that needs the store. If the store does not answer, it yields the delay in seconds before the next attempt.

Continue the generator when the delay is over, or drop it to give up.
"""


def finish(work: StoreWork[T], wait: Callable[[float], object]) -> T:
    """Returns the result of the work. `wait` is called with each delay in seconds, and may raise to give up."""
    while True:
        try:
            delay_s = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        wait(delay_s)


class StoreRetrier:
    """Calls store methods until the store answers."""

    def __init__(self, clock: Clock, options: Options) -> None:
        self._clock = clock
        self._down_since_s: float | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_exponential_jitter(
                multiplier=options.retry_first_s, max=options.retry_max_s, jitter=options.retry_first_s
            ),
            sleep=lambda delay_s: None,  # the delay is yielded
            before_sleep=self._note_failure,
        )

    @property
    def down_for_s(self) -> float:
        """Seconds since the store stopped answering; 0: it answers."""
        if self._down_since_s is None:
            return 0.0
        return max(self._clock.monotonic() - self._down_since_s, 1e-9)

    def __call__(self, action: Callable[[], T]) -> StoreWork[T]:
        """Returns the action's result; retries on StoreUnavailable. The action must be safe to repeat."""
        try:
            for attempt in self._retrying:
                if attempt.retry_state.upcoming_sleep:
                    yield attempt.retry_state.upcoming_sleep
                with attempt:
                    result = action()
        except StoreRejected:
            self._note_answer()
            raise
        self._note_answer()
        return result

    def _note_answer(self) -> None:
        if self._down_since_s is not None:
            log.info("settlement.store_available_again", after_s=round(self.down_for_s, 3))
            self._down_since_s = None

    def _note_failure(self, state: RetryCallState) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._clock.monotonic()
        metrics.RETRIES.inc()
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        log.warning(
            "settlement.store_unavailable",
            error=str(error),
            attempt=state.attempt_number,
            wait_s=round(wait_s, 3),
        )

"""A store that does not answer is asked again, later and later, until it does or settlement is told to stop."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from settlement import metrics
from settlement.clock import Clock
from settlement.options import Options
from settlement.stores.base import StoreRejected, StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Stopped(Exception):
    """Settlement was told to stop while it waited for the store."""


class Patience:
    """Calls store methods; `wait` waits for so many seconds, and raises Stopped to give up.

    Nothing that `wait` does may ask the store: it would wait inside of a wait.
    """

    def __init__(self, wait: Callable[[float], None], clock: Clock, options: Options) -> None:
        self._clock = clock
        self._down_since_s: float | None = None
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_exponential_jitter(
                multiplier=options.retry_first_s, max=options.retry_most_s, jitter=options.retry_first_s
            ),
            sleep=wait,
            before_sleep=self._note_failure,
        )

    @property
    def down_for_s(self) -> float:
        """How long the store has not answered; 0: it does."""
        if self._down_since_s is None:
            return 0.0
        return max(self._clock.monotonic() - self._down_since_s, 1e-9)

    def __call__(self, action: Callable[[], T]) -> T:
        """The action's result, or what it raises but StoreUnavailable. The action is one that may be done twice."""
        try:
            result = self._retrying(action)
        except StoreRejected:
            self._note_answer()
            raise
        self._note_answer()
        return result

    def _note_answer(self) -> None:
        if self._down_since_s is not None:
            log.info("store answers again", after_s=round(self.down_for_s, 3))
            self._down_since_s = None

    def _note_failure(self, state: RetryCallState) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._clock.monotonic()
        metrics.RETRIES.inc()
        error = state.outcome.exception() if state.outcome else None
        wait_s = state.next_action.sleep if state.next_action else 0.0
        log.warning("store does not answer", error=str(error), attempt=state.attempt_number, wait_s=round(wait_s, 3))

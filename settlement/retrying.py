"""A store that does not answer is asked again, later and later, until it does or settlement is told to stop."""

from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter

from settlement.options import Options
from settlement.stores.base import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Stopped(Exception):
    """Settlement was told to stop while it waited for the store."""


class Patience:
    """Calls store methods; `wait` waits for so many seconds, and raises Stopped to give up."""

    def __init__(self, wait: Callable[[float], None], options: Options) -> None:
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_exponential_jitter(
                multiplier=options.retry_first_s, max=options.retry_most_s, jitter=options.retry_first_s
            ),
            sleep=wait,
            before_sleep=_tell,
        )

    def __call__(self, action: Callable[[], T]) -> T:
        """The action's result, or what it raises but StoreUnavailable. The action is one that may be done twice."""
        return self._retrying(action)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    log.warning("store does not answer", error=str(error), attempt=state.attempt_number, wait_s=round(wait_s, 3))

"""Waiting for settlement to get as far as somebody needs."""

from settlement.clock import Clock
from settlement.stores.base import Store

_ASK_AGAIN_S = 0.05


def await_projection(store: Store, number: int, clock: Clock, deadline_s: float) -> int:
    """The newest projected block: `number` or a later one, an earlier one where that takes longer than `deadline_s`.

    Raises StoreError.
    """
    deadline = clock.monotonic() + deadline_s
    while (projected := store.projected().block_number) < number and clock.monotonic() < deadline:
        clock.sleep(_ASK_AGAIN_S)
    return projected

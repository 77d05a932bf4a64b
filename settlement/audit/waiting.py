"""Waits until settlement has projected a block."""

from settlement.clock import Clock
from settlement.stores.base import Store

_POLL_INTERVAL_S = 0.05


def await_projection(store: Store, number: int, clock: Clock, deadline_s: float) -> int:
    """Waits up to `deadline_s` for block `number`; returns the newest projected block. Raises StoreError."""
    deadline = clock.monotonic() + deadline_s
    while (projected := store.projected().block_number) < number and clock.monotonic() < deadline:
        clock.sleep(_POLL_INTERVAL_S)
    return projected

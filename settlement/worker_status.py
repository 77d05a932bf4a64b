"""The status of the settlement worker, from which alarms, metrics and health are made. Reported once a turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from settlement import metrics

_SHORT_S = 1.0
"""A statement that succeeds when it is repeated at once is not an outage."""
_SILENT_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """None: not known yet; an alarm that was raised before stays as it is."""

    block_lag: int | None = None  # blocks that the engine announced and the store does not hold
    projection_lag: int = 0  # blocks that the store holds and has not projected
    gaps: int = 0  # times that a number was missing since the process started
    dead_letters: int | None = None  # that are not resolved
    engine_halted: bool | None = None
    engine_halted_reason: str | None = None
    engine_silent_for_s: float = 0.0  # of listening in which nothing came from an engine
    engine_clock_ahead_s: float | None = None  # that the newest block is dated after settlement's clock; 0: it is not
    store_down_for_s: float = 0.0  # 0: it answers
    spill_blocks: int = 0
    spill_bytes: int = 0
    spill_full: bool = False  # settlement takes no more
    epoch: int = 0  # the newest that the store knows, 0: none has begun
    leader: str | None = None  # where that epoch's engine takes commands
    refused_replicas: Mapping[str, str] | None = None  # address → why it is not listened to; None: there are none


Report = Callable[[WorkerStatus], object]
"""Called once a turn, and about every tenth of a second while settlement waits for the store. Raises nothing."""


def set_metrics(status: WorkerStatus) -> None:
    if status.block_lag is not None:
        metrics.BLOCK_LAG.set(status.block_lag)
    if status.engine_clock_ahead_s is not None:
        metrics.CLOCK_AHEAD_SECONDS.set(status.engine_clock_ahead_s)
    metrics.PROJECTION_LAG.set(status.projection_lag)
    metrics.STORE_UP.set(status.store_down_for_s == 0)
    metrics.STORE_DOWN_SECONDS.set(status.store_down_for_s)
    metrics.SPILL_BLOCKS.set(status.spill_blocks)
    metrics.SPILL_BYTES.set(status.spill_bytes)
    metrics.EPOCH.set(status.epoch)


class Newest:
    """A report that keeps the newest status, for health checks in other threads."""

    def __init__(self) -> None:
        self.status: WorkerStatus | None = None

    def __call__(self, status: WorkerStatus) -> None:
        self.status = status

    def is_store_there(self) -> bool:
        """Reads may still be answered while nothing can be written."""
        return self.status is None or self.status.store_down_for_s < _SHORT_S

    def is_room_in_spill(self) -> bool:
        return self.status is None or not self.status.spill_full

    def is_engine_heard(self) -> bool:
        return self.status is not None and self.status.engine_silent_for_s < _SILENT_S

"""The status of the settlement worker, from which alarms, metrics and health are made. Reported once a turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from settlement import metrics

_OUTAGE_S = 1.0
"""A shorter time without an answer is not an outage: one retry may succeed."""
_SILENT_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A field that is None is not known yet: its alarm stays as it was."""

    block_lag: int | None = None  # blocks that the engine announced and the store does not have
    projection_lag: int = 0  # blocks of the store that are not projected
    gaps: int = 0  # gaps since the process started
    dead_letters: int | None = None  # unresolved dead letters
    engine_halted: bool | None = None
    engine_halted_reason: str | None = None
    engine_silent_for_s: float = 0.0  # time of listening since the last message of an engine
    engine_clock_ahead_s: float | None = None  # how far the newest block's time is after settlement's clock; 0: not
    store_down_for_s: float = 0.0  # 0: the store answers
    spill_blocks: int = 0
    spill_bytes: int = 0
    spill_full: bool = False  # no more blocks fit
    epoch: int = 0  # the newest epoch in the store; 0: none has begun
    leader: str | None = None  # the command address of that epoch's engine
    refused_replicas: Mapping[str, str] | None = None  # address → reason; None: not a replicated log


Report = Callable[[WorkerStatus], object]
"""Called once a turn, and about every 0.1 s while settlement waits for the store.

An exception ends settlement: that of `run_settlement` raises AlreadyRunning if the lock of the store was lost.
"""


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

    def store_answers(self) -> bool:
        """Whether the store answers. While it rejects writes, reads may still be answered."""
        return self.status is None or self.status.store_down_for_s < _OUTAGE_S

    def spill_has_room(self) -> bool:
        return self.status is None or not self.status.spill_full

    def engine_responds(self) -> bool:
        return self.status is not None and self.status.engine_silent_for_s < _SILENT_S

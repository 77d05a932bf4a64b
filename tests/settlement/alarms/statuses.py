"""Statuses of a settlement worker, for tests of its alarms."""

from dataclasses import replace
from typing import Any

from settlement.worker_status import WorkerStatus

QUIET = WorkerStatus(
    block_lag=0,
    gaps=0,
    dead_letters=0,
    engine_halted=False,
    engine_silent_for_s=0.0,
    engine_clock_ahead_s=0.0,
    store_down_for_s=0.0,
    spill_blocks=0,
    spill_full=False,
    refused_replicas={},
)


def quiet(**other: Any) -> WorkerStatus:
    return replace(QUIET, **other)

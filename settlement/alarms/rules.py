"""When something is an alarm, how grave it is, and what to tell the operator: what happened and what to do.

A *level* is there while its condition lasts and clears by itself. An *event* has happened: only an operator's
acknowledgement clears it.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from settlement.errors import ChainBroken, ChainConflict, GapUnfilled, Incident, StoreDamaged, StoreReplaced
from settlement.worker_status import WorkerStatus


class Kind(StrEnum):
    LAG = "lag"
    GAP = "gap"
    HASH_MISMATCH = "hash_mismatch"
    CHAIN_CONFLICT = "chain_conflict"
    STORE_DAMAGED = "store_damaged"
    INCIDENT = "incident"  # anything else that stopped settlement
    DEAD_LETTERS = "dead_letters"
    ENGINE_HALTED = "engine_halted"
    ENGINE_SILENT = "engine_silent"
    ENGINE_CLOCK_AHEAD = "engine_clock_ahead"
    RECONCILIATION = "reconciliation"
    STORE_UNAVAILABLE = "store_unavailable"
    SPILL = "spill"
    REPLICA_REFUSED = "replica_refused"


EVENTS = frozenset((Kind.GAP, Kind.HASH_MISMATCH, Kind.CHAIN_CONFLICT, Kind.STORE_DAMAGED, Kind.INCIDENT))
OF_SETTLEMENT = tuple(kind for kind in Kind if kind is not Kind.RECONCILIATION)
"""The kinds that the settlement worker raises; background work raises the other."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


LAG_WARNING_BLOCKS = 1_000
LAG_CRITICAL_BLOCKS = 10_000
STORE_WARNING_S = 1.0
"""A statement that is tried again at once is no alarm yet."""
STORE_CRITICAL_S = 60.0
SILENT_WARNING_S = 5.0
SILENT_CRITICAL_S = 30.0
"""An engine that was started again, or a follower that was promoted, has been heard by then."""
CLOCK_WARNING_S = 10.0
CLOCK_CRITICAL_S = 3600.0
"""Clocks that a time server keeps differ by far less than either."""
RUNS_FAILED = 3
"""Reconciliation may fail to run so often, less one, before that is an alarm."""


class Signal(NamedTuple):
    kind: Kind
    severity: Severity
    message: str


def levels(status: WorkerStatus) -> Iterator[tuple[Kind, Signal | None]]:
    """Every level whose reading is known: its signal, None where there is nothing to report."""
    if status.block_lag is not None:
        yield Kind.LAG, _lag(status.block_lag)
    if status.dead_letters is not None:
        yield Kind.DEAD_LETTERS, _dead_letters(status.dead_letters)
    if status.engine_halted is not None:
        yield Kind.ENGINE_HALTED, _halted(status.engine_halted_reason) if status.engine_halted else None
    yield Kind.ENGINE_SILENT, _silent(status.engine_silent_for_s)
    if status.engine_clock_ahead_s is not None:
        yield Kind.ENGINE_CLOCK_AHEAD, _clock_ahead(status.engine_clock_ahead_s)
    yield Kind.STORE_UNAVAILABLE, _store(status.store_down_for_s)
    yield Kind.SPILL, _spill(status.spill_blocks, status.spill_full)
    if status.refused_replicas is not None:
        yield Kind.REPLICA_REFUSED, _refused(status.refused_replicas)


def gap(times: int) -> Signal:
    """A gap that was asked for again; one that nobody fills stops settlement and is an incident."""
    return Signal(
        Kind.GAP,
        Severity.WARNING,
        f"Blocks did not come {_times(times)} and settlement asked for them again: if this goes on, look at the "
        "network between engine and settlement and at their load; acknowledge this when you have.",
    )


_INCIDENTS: dict[type[Incident], tuple[Kind, str]] = {
    GapUnfilled: (Kind.GAP, "recover the blocks from another replica or an archive, then start settlement again"),
    ChainBroken: (Kind.HASH_MISMATCH, "find out what changed the block or its source, then start settlement again"),
    ChainConflict: (Kind.CHAIN_CONFLICT, "find out which of engine and store is the wrong one before either goes on"),
    StoreReplaced: (Kind.STORE_DAMAGED, "see that it is given the right store before it goes on"),
    StoreDamaged: (Kind.STORE_DAMAGED, "run manage.py verify_settlement, then manage.py rebuild_projections"),
}

_ANOTHER = (Kind.INCIDENT, "keep its files as they are, look into it, then start settlement again")


def incident(error: Incident) -> Signal:
    """What stopped settlement."""
    kind, advice = next((told for made, told in _INCIDENTS.items() if isinstance(error, made)), _ANOTHER)
    return Signal(kind, Severity.CRITICAL, f"Settlement has stopped: {str(error).rstrip('.')}; {advice}.")


def differences(count: int, block: int) -> Signal:
    return Signal(
        Kind.RECONCILIATION,
        Severity.CRITICAL,
        f"{count} difference{_s(count)} between the engine's live state and the store at block {block}: see which "
        "in the newest reconciliation, then run manage.py verify_settlement, which tells whether the store is wrong.",
    )


def not_reconciled(sentence: str) -> Signal:
    return Signal(
        Kind.RECONCILIATION,
        Severity.WARNING,
        f"Engine and store could not be compared {RUNS_FAILED} times in a row: {sentence}",
    )


def _lag(blocks: int) -> Signal | None:
    if blocks <= LAG_WARNING_BLOCKS:
        return None
    severity = Severity.CRITICAL if blocks > LAG_CRITICAL_BLOCKS else Severity.WARNING
    return Signal(
        Kind.LAG,
        severity,
        f"The store is {blocks} blocks behind the engine: see whether settlement runs and the store is fast enough, "
        "for the engine halts when its ring of unconfirmed blocks is full.",
    )


def _dead_letters(count: int) -> Signal | None:
    if not count:
        return None
    return Signal(
        Kind.DEAD_LETTERS,
        Severity.WARNING,
        f"The store refused the rows of {count} block{_s(count)}, so pages and balances lack them: read the error in "
        "Dead letters, mend its cause and replay.",
    )


def _halted(reason: str | None) -> Signal:
    said = f"The engine takes no commands and says: {reason}" if reason else "The engine takes no commands."
    return Signal(
        Kind.ENGINE_HALTED,
        Severity.CRITICAL,
        f"{said.rstrip('.')}; if its ring is full, get settlement and the store going, and it resumes by itself.",
    )


def _silent(for_s: float) -> Signal | None:
    if for_s <= SILENT_WARNING_S:
        return None
    return Signal(
        Kind.ENGINE_SILENT,
        Severity.CRITICAL if for_s > SILENT_CRITICAL_S else Severity.WARNING,
        f"Settlement has listened for {for_s:.0f} s and heard nothing of an engine, which did not answer its question "
        "for a status either: see on the engine's machine whether the process runs. Where it runs, look at the network "
        "between the two. Where it has ended, start it again; promote a follower only when you are sure that the "
        "engine has ended and stays away.",
    )


def _clock_ahead(ahead_s: float) -> Signal | None:
    if ahead_s <= CLOCK_WARNING_S:
        return None
    return Signal(
        Kind.ENGINE_CLOCK_AHEAD,
        Severity.CRITICAL if ahead_s > CLOCK_CRITICAL_S else Severity.WARNING,
        f"The newest block is dated {timedelta(seconds=round(ahead_s))} after settlement's clock: compare the clocks "
        "of the engine's machine and of settlement's with a time server, and correct the wrong one. A block is never "
        "dated before an earlier one, so where the engine's clock was wrong every new block gets that date until the "
        "real time has reached it.",
    )


def _store(down_for_s: float) -> Signal | None:
    if down_for_s <= STORE_WARNING_S:
        return None
    severity = Severity.CRITICAL if down_for_s > STORE_CRITICAL_S else Severity.WARNING
    return Signal(
        Kind.STORE_UNAVAILABLE,
        severity,
        f"The store has not answered settlement for {down_for_s:.0f} s: look at the database and the way to it; "
        "settlement goes on by itself when it answers.",
    )


def _refused(replicas: Mapping[str, str]) -> Signal | None:
    if not replicas:
        return None
    told = "; ".join(f"{address}: {reason.rstrip('.')}" for address, reason in replicas.items())
    return Signal(
        Kind.REPLICA_REFUSED,
        Severity.CRITICAL,
        f"Settlement does not listen any more to {told}. Stop that replica, for it answers its clients wrongly; keep "
        "what it logged, and start it again: it begins with what the store holds.",
    )


def _spill(blocks: int, is_full: bool) -> Signal | None:
    if is_full:
        return Signal(
            Kind.SPILL,
            Severity.CRITICAL,
            f"The spill file is full with {blocks} block{_s(blocks)} and settlement takes no more, so the engine will "
            "halt: get the store going, or make room on the disk.",
        )
    if not blocks:
        return None
    return Signal(
        Kind.SPILL,
        Severity.WARNING,
        f"{blocks} block{_s(blocks)} wait in the spill file for a store that does not take them: get the store going "
        "before the file is full.",
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

"""Alarm rules: when a condition is an alarm, its severity, and the message, which says what happened and what to do.

A *level* alarm lasts as long as its condition and clears by itself. An *event* alarm is cleared only by an operator's
acknowledgement.
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
    SETTLEMENT_SILENT = "settlement_silent"
    BACKGROUND_SILENT = "background_silent"
    ACTIONS_SILENT = "actions_silent"
    REBUILD = "rebuild"
    DATABASE_UNWRITABLE = "database_unwritable"


EVENTS = frozenset((Kind.GAP, Kind.HASH_MISMATCH, Kind.CHAIN_CONFLICT, Kind.STORE_DAMAGED, Kind.INCIDENT))
OF_WEB = (
    Kind.SETTLEMENT_SILENT,
    Kind.BACKGROUND_SILENT,
    Kind.ACTIONS_SILENT,
    Kind.REBUILD,
    Kind.DATABASE_UNWRITABLE,
)
"""The kinds that the web raises, because nothing can report its own death."""
OF_SETTLEMENT = tuple(kind for kind in Kind if kind not in (Kind.RECONCILIATION, *OF_WEB))
"""The kinds that the settlement worker raises; background work raises `reconciliation`."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


LAG_WARNING_BLOCKS = 1_000
LAG_CRITICAL_BLOCKS = 10_000
STORE_WARNING_S = 1.0
"""Longer than the first retries of a statement."""
STORE_CRITICAL_S = 7.0
SILENT_WARNING_S = 5.0
SILENT_CRITICAL_S = 7.0
"""An operator must see within ten seconds that engine, store or settlement is gone, and a page is two seconds old."""
STUCK_WARNING_S = 10.0
STUCK_CRITICAL_S = 120.0
"""A step that stores or projects a block of 128 MiB takes some ten seconds."""
BACKGROUND_SILENT_S = 45.0
"""Four heartbeats: a reconciliation may keep the worker busy for half a minute."""
CLOCK_WARNING_S = 10.0
CLOCK_CRITICAL_S = 3600.0
"""Synchronized clocks differ by far less than both."""
RUNS_FAILED = 3
"""Number of failed reconciliations in a row that raises an alarm."""


class Signal(NamedTuple):
    kind: Kind
    severity: Severity
    message: str


def levels(status: WorkerStatus) -> Iterator[tuple[Kind, Signal | None]]:
    """Each level alarm whose condition is known, with its signal, or None if it is not raised."""
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
    """A gap whose blocks were requested again. A gap that is not filled stops settlement and is an incident."""
    return Signal(
        Kind.GAP,
        Severity.WARNING,
        f"Blocks were missing {_times(times)} and settlement requested them again. If this continues, check the "
        "network between engine and settlement and their load; then acknowledge this alarm.",
    )


_INCIDENTS: dict[type[Incident], tuple[Kind, str]] = {
    GapUnfilled: (Kind.GAP, "recover the blocks from another replica or an archive, then restart settlement"),
    ChainBroken: (Kind.HASH_MISMATCH, "find out what changed the block or its source, then restart settlement"),
    ChainConflict: (Kind.CHAIN_CONFLICT, "find out whether engine or store is the wrong one before restarting either"),
    StoreReplaced: (Kind.STORE_DAMAGED, "connect the right store before restarting settlement"),
    StoreDamaged: (Kind.STORE_DAMAGED, "run manage.py verify_settlement, then manage.py rebuild_projections"),
}

_OTHER = (Kind.INCIDENT, "keep its files unchanged, find the cause, then restart settlement")


def incident(error: Incident) -> Signal:
    """The alarm of an incident that stopped settlement."""
    kind, advice = next((alarm for made, alarm in _INCIDENTS.items() if isinstance(error, made)), _OTHER)
    return Signal(kind, Severity.CRITICAL, f"Settlement has stopped: {str(error).rstrip('.')}; {advice}.")


def differences(count: int, block: int) -> Signal:
    return Signal(
        Kind.RECONCILIATION,
        Severity.CRITICAL,
        f"{count} difference{_s(count)} between the engine's live state and the store at block {block}: see the newest "
        "reconciliation for details, then run manage.py verify_settlement to find out whether the store is wrong.",
    )


def not_reconciled(sentence: str) -> Signal:
    return Signal(
        Kind.RECONCILIATION,
        Severity.WARNING,
        f"Engine and store could not be compared {RUNS_FAILED} times in a row: {sentence}",
    )


def settlement_silent(for_s: float, engine: str) -> Signal:
    """`engine`: what the engine is doing meanwhile, one sentence."""
    return Signal(
        Kind.SETTLEMENT_SILENT,
        Severity.CRITICAL,
        f"Settlement has been silent for {for_s:.0f} s: its process has ended or hangs, or it cannot write to the "
        f"site's database. {engine} Find out why in settlement's log, and start it with: manage.py run_settlement",
    )


def settlement_stuck(for_s: float) -> Signal | None:
    if for_s <= STUCK_WARNING_S:
        return None
    return Signal(
        Kind.SETTLEMENT_SILENT,
        Severity.CRITICAL if for_s > STUCK_CRITICAL_S else Severity.WARNING,
        f"Settlement's process lives, but has been in one step for {for_s:.0f} s. A very large block takes some time; "
        "if it does not end, look into settlement's log, and restart: manage.py run_settlement",
    )


def background_silent(for_s: float) -> Signal | None:
    if for_s <= BACKGROUND_SILENT_S:
        return None
    return Signal(
        Kind.BACKGROUND_SILENT,
        Severity.WARNING,
        f"Background work has been silent for {for_s:.0f} s, so nothing is reconciled: its worker, its schedule or its "
        "broker (REDIS_URL) does not run. Start worker and schedule with: celery --app exchange_site.celery worker "
        "--beat",
    )


def actions_silent(for_s: float) -> Signal | None:
    if for_s <= SILENT_CRITICAL_S:
        return None
    return Signal(
        Kind.ACTIONS_SILENT,
        Severity.WARNING,
        f"The worker of actions has been silent for {for_s:.0f} s, so nothing that operators ask for is carried out: "
        "its process has ended or hangs. Start it with: manage.py run_actions",
    )


def rebuild(*, is_begun: bool, projected: int, to_block: int) -> Signal:
    """While somebody's request to rebuild projections is carried out."""
    place = f"{projected:,} of {to_block:,} blocks are projected" if is_begun else "it waits for settlement"
    return Signal(
        Kind.REBUILD,
        Severity.WARNING,
        f"Trades, orders, ledger entries, balances and candles are being rebuilt from the blocks: {place}. Until it "
        "is done, pages and the gateway's history show less than there is.",
    )


def database_unwritable(for_s: float) -> Signal | None:
    """Never written: while it is raised, nothing can be."""
    if for_s <= STORE_WARNING_S:
        return None
    return Signal(
        Kind.DATABASE_UNWRITABLE,
        Severity.CRITICAL if for_s > STORE_CRITICAL_S else Severity.WARNING,
        f"The site's database has accepted no writes for {for_s:.0f} s, so neither heartbeats nor new alarms reach "
        "this page: another program may hold its lock, its disk may be full, or its server may be away. Everything "
        "continues by itself when it accepts writes again.",
    )


def _lag(blocks: int) -> Signal | None:
    if blocks <= LAG_WARNING_BLOCKS:
        return None
    severity = Severity.CRITICAL if blocks > LAG_CRITICAL_BLOCKS else Severity.WARNING
    return Signal(
        Kind.LAG,
        severity,
        f"The store is {blocks} blocks behind the engine: check that settlement is running and the store is fast "
        "enough. The engine halts when its ring of unconfirmed blocks is full.",
    )


def _dead_letters(count: int) -> Signal | None:
    if not count:
        return None
    return Signal(
        Kind.DEAD_LETTERS,
        Severity.WARNING,
        f"The store rejected the rows of {count} block{_s(count)}, so pages and balances lack them: read the error on "
        "the page Dead letters, correct its cause and replay them.",
    )


def _halted(reason: str | None) -> Signal:
    state = f"The engine accepts no commands: {reason}" if reason else "The engine accepts no commands."
    return Signal(
        Kind.ENGINE_HALTED,
        Severity.CRITICAL,
        f"{state.rstrip('.')}; if its ring is full, get settlement and the store running, and it resumes by itself.",
    )


def _silent(for_s: float) -> Signal | None:
    if for_s <= SILENT_WARNING_S:
        return None
    return Signal(
        Kind.ENGINE_SILENT,
        Severity.CRITICAL if for_s > SILENT_CRITICAL_S else Severity.WARNING,
        f"Settlement has received nothing from an engine for {for_s:.0f} s, and the engine did not answer a request "
        "for its status either: check on the engine's machine whether the process is running. If it is, check the "
        "network between the two. If it has ended, restart it; promote a follower only if you are sure that the "
        "engine has ended and will not come back.",
    )


def _clock_ahead(ahead_s: float) -> Signal | None:
    if ahead_s <= CLOCK_WARNING_S:
        return None
    return Signal(
        Kind.ENGINE_CLOCK_AHEAD,
        Severity.CRITICAL if ahead_s > CLOCK_CRITICAL_S else Severity.WARNING,
        f"The time of the newest block is {timedelta(seconds=round(ahead_s))} after settlement's clock: compare the "
        "clocks of the engine's machine and of settlement's with a time server, and correct the wrong one. Block times "
        "never decrease, so if the engine's clock was wrong every new block has that time until it is reached.",
    )


def _store(down_for_s: float) -> Signal | None:
    if down_for_s <= STORE_WARNING_S:
        return None
    severity = Severity.CRITICAL if down_for_s > STORE_CRITICAL_S else Severity.WARNING
    return Signal(
        Kind.STORE_UNAVAILABLE,
        severity,
        f"The store has not answered settlement for {down_for_s:.0f} s: check the database and the network to it; "
        "settlement continues by itself when it answers.",
    )


def _refused(replicas: Mapping[str, str]) -> Signal | None:
    if not replicas:
        return None
    refused = "; ".join(f"{address}: {reason.rstrip('.')}" for address, reason in replicas.items())
    return Signal(
        Kind.REPLICA_REFUSED,
        Severity.CRITICAL,
        f"Settlement ignores {refused}. Stop that replica, because its answers to clients are wrong, keep its log and "
        "restart it: it recovers from the blocks in the store.",
    )


def _spill(blocks: int, is_full: bool) -> Signal | None:
    if is_full:
        return Signal(
            Kind.SPILL,
            Severity.CRITICAL,
            f"The spill is full with {blocks} block{_s(blocks)} and settlement accepts no more, so the engine will "
            "halt: get the store running, or make room on the disk.",
        )
    if not blocks:
        return None
    return Signal(
        Kind.SPILL,
        Severity.WARNING,
        f"{blocks} block{_s(blocks)} wait in the spill for the store: get the store running before the spill is full.",
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

"""Findings from facts: what is wrong, in the order in which to fix it."""

from collections.abc import Iterator

from matching.core.epochs import admits, newest
from matching.core.layout import LAYOUT_VERSION
from settlement.maintenance.findings import (
    MIGRATE_LAYOUT,
    NO_COMMAND,
    QUARANTINE,
    RESTORE,
    RESTORE_BACKUP,
    RUN_ENGINE,
    RUN_SETTLEMENT,
    Examination,
    Finding,
)
from settlement.maintenance.inspection import Facts, State
from settlement.maintenance.kept_blocks import KeptLog, Link, continuation, implied_epochs
from settlement.maintenance.parts import parts_of

_PREPARE = "manage.py prepare_run"
# Codes by the name of the folder.
_DAMAGED = {"wal": "wal_damaged", "spill": "spill_damaged"}
_TORN = {"wal": "wal_torn", "spill": "spill_torn"}
_OVERRULED = {"wal": "wal_overruled", "spill": "spill_overruled"}


def diagnose(facts: Facts) -> Examination:
    return Examination(parts_of(facts), [*_of_folders(facts), *_of_keys(facts), *_of_blocks(facts), *_of_files(facts)])


def _of_folders(facts: Facts) -> Iterator[Finding]:
    folder = facts.site.data_dir
    if not facts.is_there:
        yield Finding("folder_missing", f"There is no folder {folder}: nothing was started here.", _PREPARE)
    if facts.access:
        yield Finding("folder_open", *facts.access)


def _of_keys(facts: Facts) -> Iterator[Finding]:
    for reason in facts.bad_keys:
        yield Finding("keys_unusable", reason, NO_COMMAND)


# Blocks: the store, and what spill and write-ahead log hold beyond it


def _of_blocks(facts: Facts) -> Iterator[Finding]:
    state = facts.store.state
    if facts.lock_owner and facts.trail.files and not facts.settlement_runs:
        yield Finding(
            "store_in_use",
            f"Another settlement works on the store, with another DATA_DIR ({facts.lock_owner}): one that is started "
            "here ends at once. Stop one of the two for good.",
            NO_COMMAND,
        )
    for number in facts.unfinished:
        yield Finding(
            "quarantine_unfinished",
            f"A quarantine of block {number} and those after it was killed: the same command continues.",
            QUARANTINE.format(number),
        )
    if state is State.UNAVAILABLE:
        yield Finding("store_unavailable", f"{facts.store.reason} Start its server, then look again.", NO_COMMAND)
    elif state is State.UNUSABLE:
        yield Finding(
            "store_unusable",
            f"{facts.store.reason} If it cannot be repaired, move it away and restore a backup.",
            RESTORE_BACKUP,
        )
    elif state is State.MISSING:
        yield from _of_a_missing_store(facts)
    else:
        yield from _of_a_store(facts)
    yield from _of_damage(facts)


def _of_damage(facts: Facts) -> Iterator[Finding]:
    for reason in facts.unreadable:
        yield Finding("log_unreadable", reason, NO_COMMAND)
    for log in facts.logs:
        folder = log.source.folder
        if log.damage:
            yield Finding(_DAMAGED[folder.name], log.damage, f"mv {folder} {folder}.damaged")
        elif log.torn_bytes and not _runs(facts, log):
            yield Finding(
                _TORN[folder.name],
                f"The {log.source.name} ends with {log.torn_bytes} bytes of a record that was not finished and that "
                "nobody was answered for: the next start cuts them off.",
                RUN_ENGINE if folder.name == "wal" else RUN_SETTLEMENT,
            )


def _runs(facts: Facts, log: KeptLog) -> bool:
    """Whether the process that writes this log runs."""
    return facts.engine_runs if log.source.folder.name == "wal" else facts.settlement_runs


def _of_a_missing_store(facts: Facts) -> Iterator[Finding]:
    reason = facts.store.reason
    if not facts.is_there:
        return
    if not _is_anything_kept(facts):
        yield Finding("store_missing", f"{reason} Nothing else is here: this is a new exchange.", _PREPARE)
        return
    yield from _of_lost_blocks(facts, "store_missing", reason)


def _of_a_store(facts: Facts) -> Iterator[Finding]:
    store = facts.store
    head = store.appended
    if head.block_number and store.hashes.get(head.block_number) != head.hash:
        yield Finding(
            "store_damaged",
            f"The store's checkpoint is at block {head.block_number}, but that block is missing or has another hash.",
            "manage.py verify_settlement",
        )
        return
    foreign = [*_of_foreign_logs(facts)]
    if foreign:
        yield from foreign
        return
    code = "store_behind" if head.block_number else "store_empty"
    lost = [*_of_lost_blocks(facts, code, f"The store ends with block {head.block_number}.")]
    yield from lost or [*_of_an_earlier_layout(facts), *_of_waiting_blocks(facts), *_of_projections(facts)]


def _of_an_earlier_layout(facts: Facts) -> Iterator[Finding]:
    found = facts.store.layout_version
    if found != LAYOUT_VERSION:
        yield Finding(
            "earlier_layout",
            f"The store's blocks have record layout {found}, and this program makes blocks of layout {LAYOUT_VERSION}: "
            "engine and settlement do not start before they are migrated.",
            MIGRATE_LAYOUT,
        )


def _of_foreign_logs(facts: Facts) -> Iterator[Finding]:
    """Logs whose blocks differ from the store's, or do not continue them."""
    for log in facts.logs:
        found = _first_foreign(facts, log)
        if found is None:
            continue
        number, is_overruled = found
        name, folder = log.source.name, log.source.folder
        if is_overruled:
            epoch = newest(facts.store.epochs)
            yield Finding(
                _OVERRULED[folder.name],
                f"The {name} holds block {number} of a leader that epoch {epoch.number if epoch else 0} has replaced: "
                "it is no longer part of the chain.",
                RUN_SETTLEMENT if folder.name == "spill" else f"mv {folder} {folder}.overruled",
            )
        elif fork := facts.store.forks.get(folder.name):
            yield Finding(
                "chain_forked",
                f"Block {fork} in the {name} differs from that in the store, and both continue block {fork - 1}: two "
                f"engines made blocks of this exchange in one epoch, and one of them was not yours. If the {name} is "
                "that of your engine, take the store's blocks out of the chain; otherwise move the folder "
                f"{folder} away.",
                QUARANTINE.format(fork),
            )
        else:
            yield Finding(
                "other_exchange",
                f"Block {number} in the {name} ({folder}) does not fit the store {facts.site.store_name}: one of the "
                "two is of another exchange. Keep both, and give the setting that names the right store.",
                "DATABASE_URL=… manage.py doctor",
            )


def _first_foreign(facts: Facts, log: KeptLog) -> tuple[int, bool] | None:
    """Number of a block that does not fit the store, and whether an epoch has overruled it."""
    store = facts.store
    for link in log.links:
        if not admits(store.epochs, link.epoch, link.number):
            return link.number, True
        if link.number in store.hashes and store.hashes[link.number] != link.hash:
            return link.number, False
        if link.number == store.appended.block_number + 1 and link.prev_hash != store.appended.hash:
            return link.number, False
    return None


def _of_lost_blocks(facts: Facts, code: str, state: str) -> Iterator[Finding]:
    """Whether settlement cannot continue from this store, and whether the logs hold what it lacks."""
    store, trade = facts.store, facts.trail.last_trade
    head = store.appended
    begin = Link(head.block_number, head.hash, 0, head.epoch, store.last_event)
    end = [begin, *continuation(begin, facts.logs, store.epochs)][-1]
    logged = max(facts.logs, key=lambda log: log.last)
    if logged.last > end.number:
        seen = f"the {logged.source.name} holds blocks up to {logged.last}"
    elif trade > end.last_event:
        seen = f"the CSV trail has trade {trade} of one of them"
    elif not store.epochs and not end.number and _is_anything_kept(facts):
        seen = "there are snapshots of later ones"
    elif end.number > head.block_number and _needs_filling(facts):
        span = f"blocks {head.block_number + 1} to {end.number}, which continue it"
        yield Finding(code, f"{state} Spill and write-ahead log hold {span}.", RESTORE)
        return
    else:
        return
    yield Finding(
        code,
        f"{state} Block {end.number + 1} and those after it are in no file here, but {seen}: the store is lost or an "
        "older copy. Restore the newest backup; spill and write-ahead log give the blocks after it.",
        RESTORE_BACKUP,
    )


def _needs_filling(facts: Facts) -> bool:
    """Whether engine and settlement would refuse this store, although the logs continue it."""
    known = newest(facts.store.epochs)
    links = [link for log in facts.logs for link in log.links]
    implied = max((epoch.number for epoch in implied_epochs(links)), default=0)
    begins = {log.source.folder.name: log.first for log in facts.logs}
    return (
        facts.store.state is State.MISSING
        or begins.get("spill", 0) > facts.store.appended.block_number + 1
        or implied > (known.number if known else 0)
    )


def _is_anything_kept(facts: Facts) -> bool:
    """Whether blocks were made here, besides those in the store."""
    return any(log.links for log in facts.logs) or bool(facts.snapshots or facts.trail.last_trade)


def _of_waiting_blocks(facts: Facts) -> Iterator[Finding]:
    """Blocks that the store lacks, in a spill or write-ahead log that no running process reads."""
    head = facts.store.appended.block_number
    for log in facts.logs:
        if log.last <= head:
            continue
        span = f"Blocks {max(log.first, head + 1)} to {log.last} are in the {log.source.name} and not in the store"
        if log.source.folder.name == "spill" and not facts.settlement_runs:
            yield Finding("spill_left", f"{span}: settlement writes them at its next start.", RUN_SETTLEMENT)
        elif log.source.folder.name == "wal" and not facts.engine_runs and facts.site.input_log != "wal":
            yield Finding(
                "wal_unread",
                f"{span}, and the setting INPUT_LOG={facts.site.input_log} does not read it: an engine refuses to "
                "start without it.",
                f"{RUN_ENGINE} --input-log wal",
            )


def _of_projections(facts: Facts) -> Iterator[Finding]:
    store = facts.store
    if store.projected.block_number < store.appended.block_number and not facts.settlement_runs:
        yield Finding(
            "projection_behind",
            f"Rows exist up to block {store.projected.block_number} of {store.appended.block_number}.",
            RUN_SETTLEMENT,
        )
    if store.dead_letters:
        yield Finding(
            "dead_letters",
            f"The store rejected the rows of {store.dead_letters} blocks: correct the cause that the back office "
            "shows, then write them again.",
            "manage.py replay_dead_letters --all",
        )


# Files that are made again from blocks


def _of_files(facts: Facts) -> Iterator[Finding]:
    yield from _of_claims(facts)
    yield from _of_snapshots(facts)
    yield from _of_trail(facts)


def _of_claims(facts: Facts) -> Iterator[Finding]:
    known = newest(facts.store.epochs)
    for path, epoch in facts.claims.items():
        if not facts.engine_runs and epoch >= (known.number if known else 0):
            yield Finding(
                "claim_left",
                f"{path} is of an engine that ended while it started: until an engine has started, settlement "
                "confirms nothing from its spill.",
                RUN_ENGINE,
            )


def _of_snapshots(facts: Facts) -> Iterator[Finding]:
    kept = {link.number: link.hash for log in facts.logs for link in log.links}
    for one in facts.snapshots:
        known = facts.store.hashes.get(one.block) or kept.get(one.block)
        if one.state_hash is None:
            reason = "is damaged"
        elif known is not None and known != one.state_hash:
            reason = "is of another chain than the store"
        else:
            continue
        yield Finding(
            "snapshot_unusable", f"{one.path} {reason}: an engine does not use it and renames it.", RUN_ENGINE
        )


def _of_trail(facts: Facts) -> Iterator[Finding]:
    if facts.trail.reason:
        yield Finding("trail_unreadable", facts.trail.reason, RUN_SETTLEMENT)
    elif facts.trail.last_trade < facts.store.last_trade and not facts.settlement_runs:
        yield Finding(
            "trail_behind",
            f"The CSV trail ends with trade {facts.trail.last_trade}, the store with {facts.store.last_trade}: "
            "settlement completes it at its next start.",
            RUN_SETTLEMENT,
        )

"""What is there and how far each part reaches, as JSON values by the name of the part."""

from typing import Any

from matching.core.epochs import newest
from matching.core.hashes import hash_text
from settlement.maintenance.inspection import Facts, State, StoreFacts
from settlement.maintenance.kept_blocks import KeptLog
from settlement.stores.base import Checkpoint

Fields = dict[str, Any]


def parts_of(facts: Facts) -> dict[str, Fields]:
    logs = {log.source.folder.name: _log(log) for log in facts.logs}
    return {
        "data_dir": {"path": str(facts.site.data_dir), "exists": facts.is_there},
        "processes": {"engine": facts.engine_runs, "settlement": facts.settlement_runs, "store_lock": facts.lock_owner},
        "store": {"name": facts.site.store_name, **_store(facts.store)},
        **logs,
        "claims": {"files": [path.name for path in facts.claims]},
        "snapshots": {"blocks": [one.block for one in facts.snapshots]},
        "trail": {"files": facts.trail.files, "last_trade": facts.trail.last_trade},
        "keys": {"exchange": facts.keys},
    }


def _store(store: StoreFacts) -> Fields:
    fields: Fields = {"state": store.state.value}
    if store.state is not State.PRESENT:
        return fields
    leader = newest(store.epochs)
    return {
        **fields,
        "appended": _checkpoint(store.appended),
        "projected": _checkpoint(store.projected),
        "last_trade": store.last_trade,
        "epoch": leader and {"number": leader.number, "engine": leader.engine, "commands": leader.commands},
        "dead_letters": store.dead_letters,
    }


def _checkpoint(checkpoint: Checkpoint) -> Fields:
    number, digest, epoch = checkpoint
    return {"block": number, "hash": hash_text(digest), "epoch": epoch}


def _log(log: KeptLog) -> Fields:
    if not log.links:
        return {"blocks": 0, "torn_bytes": log.torn_bytes}
    last = log.links[-1]
    return {
        "blocks": len(log.links),
        "first": log.first,
        "last": _checkpoint(Checkpoint(last.number, last.hash, last.epoch)),
        "torn_bytes": log.torn_bytes,
    }

"""The doctor names what is wrong with a DATA_DIR and the command that fixes it, and changes nothing."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.workloads.btc_usd import DEFINITIONS
from settlement import lock
from settlement.durable.claim import Claim
from settlement.maintenance.findings import MIGRATE_LAYOUT, RESTORE, RESTORE_BACKUP, RUN_ENGINE, RUN_SETTLEMENT
from tests.settlement.chains import START_NS, Chain, deposit, in_epoch, in_layout_1
from tests.settlement.maintenance.conftest import SNAPSHOT, Kept, epoch_of
from tests.settlement.maintenance.test_quarantine import FIRST, WRONG
from tests.settlement.test_worker import BLOCKS, LAST

HALF = LAST // 2
Damage = Callable[[Kept], object]


def tail(kept: Kept, folder: str) -> Path:
    return max((kept.folder / folder).glob(f"*.{folder}"))


def cut(path: Path, size: int) -> None:
    os.truncate(path, path.stat().st_size - size)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def without(*names: str) -> Damage:
    """Removes folders and files."""

    def remove(kept: Kept) -> None:
        for path in (path for name in names for path in kept.folder.glob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def store_with(blocks: Sequence[Block], *, epochs: int = 1) -> Damage:
    return lambda kept: kept.begin_store(blocks, epochs=epochs)


def wal_with(blocks: Sequence[Block]) -> Damage:
    return lambda kept: kept.write_wal(blocks)


def spill_with(blocks: Sequence[Block]) -> Damage:
    return lambda kept: kept.write_spill(blocks)


def epoch_at_half(kept: Kept) -> None:
    kept.store.begin_epoch(epoch_of(2, HALF + 1, BLOCKS[HALF - 1].hash))


def open_to_others(kept: Kept) -> None:
    kept.access = "Other accounts have access.", f"chmod 700 {kept.folder}"


def memory_log(kept: Kept) -> None:
    kept.input_log = "memory"


def snapshot_of_another_chain(kept: Kept) -> None:
    """A snapshot of block 1 under the name of a later one would be damaged, so the other chain has as many blocks."""
    kept.write_snapshot(OTHER_BLOCKS[:SNAPSHOT])


OTHER_BLOCKS = (
    Chain(START_NS + 1)
    .add(*DEFINITIONS, *(deposit(1, "BTC", "1", f"tx-{number}") for number in range(LAST)), block_size=1)
    .blocks
)
"""Blocks of another exchange, with the same numbers."""

RESTORED, FROM_BACKUP = {"store_behind": RESTORE}, {"store_behind": RESTORE_BACKUP}
BEHIND = {"projection_behind": RUN_SETTLEMENT}

CASES: dict[str, tuple[tuple[Damage, ...], dict[str, str]]] = {
    "in order": ((), {}),
    "store newer than the log": ((without("wal"), wal_with(BLOCKS[:HALF])), {}),
    "no log": ((without("wal"),), {}),
    "database file lost": ((Kept.remove_database,), {"store_missing": RESTORE}),
    "database file empty": (
        (Kept.remove_database, lambda kept: kept.database.touch()),
        {"store_missing": RESTORE},
    ),
    "database file lost, and no log": ((Kept.remove_database, without("wal")), {"store_missing": RESTORE_BACKUP}),
    "everything lost but the folder": (
        (Kept.remove_database, without("wal", "snapshots", "*.csv")),
        {"store_missing": "manage.py prepare_run"},
    ),
    "new database": ((store_with([], epochs=0),), {"store_empty": RESTORE}),
    "new database, and no log": ((store_with([], epochs=0), without("wal")), {"store_empty": RESTORE_BACKUP}),
    "database of an earlier record layout": (
        (store_with(in_layout_1(BLOCKS).blocks), without("wal", "snapshots", "*.csv")),
        {"earlier_layout": MIGRATE_LAYOUT, **BEHIND},
    ),
    "older database and a spill that begins later": (
        (store_with(BLOCKS[:2]), spill_with(BLOCKS[HALF:])),
        RESTORED,
    ),
    "older database and a gap before the spill": (
        (store_with(BLOCKS[:2]), without("wal"), spill_with(BLOCKS[HALF:])),
        FROM_BACKUP,
    ),
    "older database without the epoch of the log": (
        (
            store_with(BLOCKS[:HALF]),
            without("wal", "*.csv"),
            wal_with([*BLOCKS[:HALF], *in_epoch(BLOCKS[HALF:], 2, BLOCKS[HALF - 1].hash)]),
        ),
        RESTORED,
    ),
    "older database and a longer trail": ((store_with(BLOCKS[:2]), without("wal")), FROM_BACKUP),
    "database of another exchange": (
        (store_with(OTHER_BLOCKS[: SNAPSHOT - 1]),),
        {"other_exchange": "DATABASE_URL=… manage.py doctor"},
    ),
    "database with blocks of another engine": (
        (store_with([*BLOCKS[: FIRST - 1], *WRONG]),),
        {"chain_forked": f"manage.py quarantine_block {FIRST} --yes"},
    ),
    "spill of another engine": (
        (without("wal"), spill_with(WRONG)),
        {"chain_forked": f"manage.py quarantine_block {FIRST} --yes"},
    ),
    "quarantine that was killed": (
        (lambda kept: (kept.folder / "quarantine" / "unfinished-4").mkdir(parents=True),),
        {"quarantine_unfinished": "manage.py quarantine_block 4 --yes"},
    ),
    "database damaged": (
        (lambda kept: flip(kept.database, 3),),
        {"store_unusable": RESTORE_BACKUP},
    ),
    "gap in the log": (
        (store_with(BLOCKS[:2]), without("wal"), wal_with(BLOCKS[:2]), wal_with(BLOCKS[4:])),
        FROM_BACKUP,
    ),
    "torn tail of the log": ((lambda kept: cut(tail(kept, "wal"), 5),), {"wal_torn": RUN_ENGINE}),
    "torn tail of the spill": (
        (spill_with(BLOCKS), lambda kept: cut(tail(kept, "spill"), 5)),
        {"spill_torn": RUN_SETTLEMENT},
    ),
    "log damaged": ((lambda kept: flip(tail(kept, "wal"), 30),), {"wal_damaged": "mv {0}/wal {0}/wal.damaged"}),
    "blocks left in the spill": (
        (store_with(BLOCKS[:HALF]), without("wal"), spill_with(BLOCKS[HALF:])),
        {"spill_left": RUN_SETTLEMENT, **BEHIND},
    ),
    "spill that an epoch has overruled": (
        (store_with(BLOCKS[:HALF]), epoch_at_half, without("wal", "*.csv"), spill_with(BLOCKS[HALF:])),
        {"spill_overruled": RUN_SETTLEMENT},
    ),
    "log that the settings do not read": (
        (store_with(BLOCKS[: LAST - 1]), memory_log),
        {"wal_unread": f"{RUN_ENGINE} --input-log wal", **BEHIND},
    ),
    "snapshot of another chain": ((snapshot_of_another_chain,), {"snapshot_unusable": RUN_ENGINE}),
    "snapshot damaged": (
        (lambda kept: os.truncate(next((kept.folder / "snapshots").iterdir()), 40),),
        {"snapshot_unusable": RUN_ENGINE},
    ),
    "claim left": ((lambda kept: Claim(kept.folder / "spill", "engine-1").make(1),), {"claim_left": RUN_ENGINE}),
    "trail moved away": ((without("*.csv"),), {"trail_behind": RUN_SETTLEMENT}),
    "folder open to others": ((open_to_others,), {"folder_open": "chmod 700 {0}"}),
    "key file damaged": (
        (lambda kept: (kept.folder / "keys" / "engine-local.key").write_text("{}"),),
        {"keys_unusable": ""},
    ),
}


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_the_command_that_mends_it_and_nothing_is_changed(case: str, kept: Kept) -> None:
    damages, expected = CASES[case]
    for damage in damages:
        damage(kept)
    kept.store.close()
    before = contents(kept.folder)
    found = kept.examine()
    assert {one.code: one.command for one in found.findings} == {
        code: command.format(kept.folder) for code, command in expected.items()
    }
    assert found.ok == (not expected)
    assert all(finding.sentence.endswith(".") for finding in found.findings)
    assert contents(kept.folder) == before


def test_what_a_running_settlement_does_anyway_is_not_a_finding(kept: Kept) -> None:
    for damage in (store_with(BLOCKS[:HALF]), without("wal"), spill_with(BLOCKS[HALF:])):
        damage(kept)
    with (kept.folder / lock.NAME).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = kept.examine()
    assert found.parts["processes"]["settlement"]
    assert found.ok, found.findings


def test_the_parts_say_how_far_each_reaches(kept: Kept) -> None:
    parts = kept.examine().parts
    assert parts["store"]["appended"]["block"] == parts["store"]["projected"]["block"] == LAST
    assert (parts["wal"]["first"], parts["wal"]["last"]["block"]) == (1, LAST)
    assert parts["snapshots"]["blocks"] == [SNAPSHOT]
    assert parts["trail"]["last_trade"] == parts["store"]["last_trade"] > 0
    assert len(parts["keys"]["exchange"]) == 16

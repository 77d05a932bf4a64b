"""Looks at everything that an exchange keeps: DATA_DIR, store, spill, write-ahead log, snapshots, trail, keys.

Nothing is created, changed or locked for longer than a look, so it can run beside everything else. A change that a
running process is making may be seen half done; `diagnosis` reports nothing that may go away by itself.
"""

import fcntl
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.core.errors import BadBlock, BadFile, KeysUnusable, LogUnusable
from matching.core.layout import LAYOUT_VERSION
from matching.storage.disk import LocalDisk
from matching.storage.key_files import KeyFolder
from matching.storage.snapshot_files import SnapshotFolder
from matching.transport.key_register import BadKeyRegister, KeyRole, decode_signed
from settlement import lock
from settlement.durable import claim
from settlement.errors import TrailUnusable
from settlement.maintenance import kept_blocks, quarantine
from settlement.maintenance.kept_blocks import KeptLog, Link
from settlement.project import trail
from settlement.stores.base import (
    NOTHING_YET,
    Checkpoint,
    Store,
    StoredBlock,
    StoreError,
    StoreUnavailable,
    StoreUninitialized,
)

_ENGINE_LOCK = "engine.lock"


class Site(NamedTuple):
    """Where to look."""

    data_dir: Path
    store: Callable[[], AbstractContextManager[Store]]
    """Opens the store without creating or changing anything."""
    store_name: str  # in sentences: the database file, or the settings of the server
    store_file: Path | None  # None: it is no file
    input_log: str  # of the engine's settings
    access: Callable[[], tuple[str, str] | None]
    """Who else can read or change DATA_DIR, as a sentence, and the command that ends it; None: nobody."""
    lock_owner: Callable[[], str] = lambda: ""
    """The process that holds the store's lock; "": none."""


class State(Enum):
    PRESENT = "present"
    MISSING = "missing"  # no database file, or no tables in the database
    UNAVAILABLE = "unavailable"
    UNUSABLE = "unusable"  # damaged, or a permission is missing


class StoreFacts(NamedTuple):
    state: State
    reason: str = ""  # the store's error
    appended: Checkpoint = NOTHING_YET
    layout_version: int = LAYOUT_VERSION  # of the last block
    projected: Checkpoint = NOTHING_YET
    last_event: int = 0  # of the last block
    last_trade: int = 0  # of the projected trades
    epochs: tuple[Epoch, ...] = ()
    dead_letters: int = 0
    hashes: dict[int, int | None] = {}  # of the blocks that were asked for; None: it has no such block
    forks: dict[str, int] = {}  # by folder of a log: its first block that differs, though both continue the same block


class Snapshot(NamedTuple):
    path: Path
    block: int
    state_hash: int | None  # None: the file is damaged


class TrailFacts(NamedTuple):
    files: int
    last_trade: int  # 0: no trades
    reason: str = ""  # why it cannot be read


class Facts(NamedTuple):
    site: Site
    is_there: bool  # DATA_DIR
    access: tuple[str, str] | None
    engine_runs: bool
    settlement_runs: bool
    lock_owner: str
    store: StoreFacts
    logs: list[KeptLog]
    unreadable: list[str]  # reasons
    claims: dict[Path, int]  # file → the newest epoch when it was made
    snapshots: list[Snapshot]
    trail: TrailFacts
    keys: str | None  # the exchange they belong to; None: there are no keys
    bad_keys: list[str]  # reasons
    unfinished: list[int]  # quarantines that were killed


def look(site: Site) -> Facts:
    folder = site.data_dir
    logs, unreadable = _logs(folder)
    snapshots = _snapshots(folder)
    written = _trail(folder)  # before the store, which is never behind it
    keys, bad_keys = _keys(KeyFolder(folder / "keys"))
    return Facts(
        site=site,
        is_there=folder.is_dir(),
        access=site.access() if folder.is_dir() else None,
        engine_runs=engine_runs(folder),
        settlement_runs=is_held(folder / lock.NAME),
        lock_owner=site.lock_owner(),
        store=_store(site, logs, snapshots),
        logs=logs,
        unreadable=unreadable,
        claims=_claims(folder / "spill"),
        snapshots=snapshots,
        trail=written,
        keys=keys,
        bad_keys=bad_keys,
        unfinished=quarantine.unfinished(folder),
    )


def engine_runs(data_dir: Path) -> bool:
    return is_held(data_dir / _ENGINE_LOCK)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file.

    Looking takes a shared lock for an instant; a program that starts in that instant is refused and may start again.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _logs(data_dir: Path) -> tuple[list[KeptLog], list[str]]:
    logs, unreadable = [], []
    for source in kept_blocks.sources(data_dir):
        try:
            logs.append(kept_blocks.look_at(source))
        except LogUnusable as error:
            unreadable.append(str(error))
            logs.append(KeptLog(source, [], 0, ""))
    return logs, unreadable


def _compared(last: int, logs: Iterable[KeptLog], snapshots: Iterable[Snapshot]) -> set[int]:
    """Numbers of the blocks to compare with a store that ends with block `last`.

    One block of each log is enough, because each has the hash of the block before.
    """
    numbers = {last, *(one.block for one in snapshots)}
    for log in logs:
        held = [link.number for link in log.links if link.number <= last]
        numbers |= {max(held, default=log.first - 1)}
    return {number for number in numbers if 0 < number <= last}


def _snapshots(data_dir: Path) -> list[Snapshot]:
    folder = SnapshotFolder(LocalDisk(), data_dir / "snapshots", keep=1)
    found = []
    for number in folder.numbers():
        path = folder.path_of(number)
        try:
            found.append(Snapshot(path, number, folder.state_hash(number)))
        except BadFile:
            if path.exists():  # else it was removed meanwhile
                found.append(Snapshot(path, number, None))
    return found


def _trail(data_dir: Path) -> TrailFacts:
    files = trail.files_of(data_dir)
    try:
        return TrailFacts(len(files), trail.last_trade_of(data_dir))
    except (TrailUnusable, OSError) as error:
        return TrailFacts(len(files), 0, str(error))


def _claims(folder: Path) -> dict[Path, int]:
    try:
        return claim.made(folder)
    except OSError:
        return {}  # ended meanwhile


def _keys(keys: KeyFolder) -> tuple[str | None, list[str]]:
    """The exchange of the keys, and what is wrong with them."""
    if not keys.folder.exists():
        return None, []
    reasons = []
    exchange = None
    try:
        public = keys.root_public()
        document = keys.read_register()
        if document is not None:
            exchange = decode_signed(document, public).exchange
    except BadKeyRegister as error:
        reasons.append(f"{keys.register_path}: {error}")
    except KeysUnusable as error:
        reasons.append(str(error))
    for role in KeyRole:
        for name in keys.names(role):
            try:
                keys.key_file(role, name)
            except KeysUnusable as error:
                reasons.append(str(error))
    return exchange, list(dict.fromkeys(reasons))


def _store(site: Site, logs: Sequence[KeptLog], snapshots: Sequence[Snapshot]) -> StoreFacts:
    file = site.store_file
    if file is not None and (not file.exists() or not file.stat().st_size):
        return StoreFacts(State.MISSING, f"There is no database in {file}.")
    try:
        with site.store() as store:
            return _read(store, logs, snapshots)
    except StoreUninitialized as error:
        return StoreFacts(State.MISSING, str(error))
    except StoreUnavailable as error:
        return StoreFacts(State.UNAVAILABLE, str(error))
    except StoreError as error:
        return StoreFacts(State.UNUSABLE, str(error))


def _layout_version_of(head: StoredBlock | None) -> int:
    try:
        return Block.decode(head.data).layout_version if head is not None else LAYOUT_VERSION
    except BadBlock:
        return LAYOUT_VERSION  # damage, which is another finding


def _read(store: Store, logs: Sequence[KeptLog], snapshots: Sequence[Snapshot]) -> StoreFacts:
    store.connect()
    projected, epochs = store.projected(), tuple(store.epochs())
    appended = store.appended()
    compared = sorted(_compared(appended.block_number, logs, snapshots))
    rows = {number: store.get_block(number) for number in compared}
    head = rows.get(appended.block_number)
    trades = store.newest_trades(1)
    return StoreFacts(
        State.PRESENT,
        appended=appended,
        layout_version=_layout_version_of(head),
        projected=projected,
        last_event=head.last_event_sequence if head else 0,
        last_trade=trades[0].trade_id if trades else 0,
        epochs=epochs,
        dead_letters=len(store.dead_letters()),
        hashes={number: row.hash if row else None for number, row in rows.items()},
        forks={log.source.folder.name: _fork(store, appended, log) for log in logs},
    )


def _fork(store: Store, appended: Checkpoint, log: KeptLog) -> int:
    """The first block of a log that differs from the store's, if both continue the same block; 0: there is none."""

    def differs(link: Link) -> bool:
        row = store.get_block(link.number)
        return row is None or row.hash != link.hash

    common = [link for link in log.links if link.number <= appended.block_number]
    if not common or not differs(common[-1]):
        return 0
    first = common[bisect_left(common, True, key=differs)]
    before = store.get_block(first.number - 1)
    return first.number if before is not None and before.hash == first.prev_hash else 0

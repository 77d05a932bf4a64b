"""A settled chain of several days, for tests of the archive."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive.archive import Archive
from archive.iceberg.location import url_of
from archive.iceberg.tables import IcebergTables
from matching.core.blocks import Block
from matching.core.epochs import Epoch
from matching.workloads.btc_usd import DEFINITIONS
from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.base import Store
from tests.settlement.chains import Chain
from tests.settlement.every_command import PARTS

STEP_NS = 2 * 3600 * 10**9
FIRST_MIDNIGHT_NS = int(datetime(2026, 1, 30, tzinfo=UTC).timestamp()) * 10**9
EPOCH = Epoch(1, 1, 0, "engine-1", "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3", FIRST_MIDNIGHT_NS)
EVERY_COMMAND = [*DEFINITIONS, *(command for part in PARTS for command in part)]


def chain_of_days(of: Iterable[dict[str, Any]] | None = None, *, block_size: int = 2, step_ns: int = STEP_NS) -> Chain:
    """A block every two hours, from midnight on, with commands of every kind; the last day is not complete."""
    return Chain(FIRST_MIDNIGHT_NS, step_ns).add(*(EVERY_COMMAND if of is None else of), block_size=block_size)


def settle(store: Store, blocks: list[Block]) -> None:
    """Appends blocks to an empty store and projects them."""
    store.begin_epoch(EPOCH)
    store.append_blocks([stored(block) for block in blocks])
    projector = Projector(EmptyTables(), kept=None)
    for block in blocks:
        store.insert_batch(projector.project([block]))


def archive_in(folder: Path) -> Archive:
    """A new archive in a folder, which is created."""
    folder.mkdir(parents=True)
    catalog = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.sqlite3"}
    return Archive(folder, IcebergTables(url_of(folder), catalog=catalog, storage={}))

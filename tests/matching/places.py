"""Machines on which engines start, and block chains for their logs and stores."""

from collections.abc import Sequence
from pathlib import Path

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.node.leadership import take_lead
from matching.node.recovery import Recovered
from matching.node.sequencer import Sequencer
from matching.node.services import Services
from matching.storage.disk import LocalDisk
from matching.storage.input_logs.wal import WalLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport.wire import Addresses
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import batch, deposit, services, trading

HERE = Addresses("ipc:///nobody/a", "ipc:///nobody/b", "ipc:///nobody/c")
LAST = 43


def chain(engine: Engine, count: int, tag: str = "chain") -> list[Block]:
    """`count` further blocks of an engine: definitions, trades, then deposits whose references contain `tag`."""
    sequencer = Sequencer(engine, Ring(10_000, 1 << 30), lambda: 1, 1024)
    first = [*DEFINITIONS, *trading(20)]
    made: list[Block] = []
    while len(made) < count:
        at = engine.block_number
        command = first[at] if at < len(first) else deposit(1, f"{tag} {at}")
        made += sequencer.sequence([batch(engine, 7, engine.clients.last_number(7, 0) + 1, [command])]).blocks
    return made


class Place:
    """A machine: its log, its snapshots and its store, which outlive the engines that run on it."""

    def __init__(self, folder: Path, history: MemoryHistory | None = None) -> None:
        self.folder = folder
        self.history = history or MemoryHistory()
        self.snapshots = SnapshotFolder(LocalDisk(), folder / "snapshots", 3)
        self.engine = Engine()
        self.ring = Ring(1000, 1 << 30)

    def services(self, engine: str = "one", *, take_over: bool = False) -> Services:
        return services(
            self.history,
            input_log=WalLog(self.folder / "wal"),
            snapshotter=Snapshotter(self.snapshots, DirectWriter(self.snapshots), 0),
            engine=engine,
            take_over=take_over,
        )

    def log(self, blocks: Sequence[Block]) -> list[int]:
        """Writes blocks into one log file; returns the size of the file after each."""
        log = WalLog(self.folder / "wal")
        sizes = []
        for block in blocks:
            log.append([block])
            sizes.append((self.folder / "wal" / f"{blocks[0].number:020d}.wal").stat().st_size)
        log.close()
        return sizes

    def lead(self, engine: str = "one", *, take_over: bool = False) -> Recovered:
        return take_lead(self.engine, self.ring, HERE, self.services(engine, take_over=take_over))


def began(number: int, first_block: int, engine: str = "another", prev_hash: int = 0) -> Epoch:
    return Epoch(number, first_block, prev_hash, engine, "ipc:///nobody/x", "ipc:///nobody/y", "ipc:///nobody/z", 1)

"""Settlement process, restarted whenever it ends. Records each confirmation of a block that is not durable."""

from matching.core.errors import MatchingError
from matching.feed.reader import Feed
from matching.storage.segments import Segments
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.key_register import KeyRole
from settlement import worker
from settlement.durable.spill import SUFFIX, Spill
from settlement.errors import SettlementError
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import StoreError
from simulator.disk import SimDisk
from simulator.engines import DATA, EngineNode
from simulator.network import NetworkState, SimNetwork
from simulator.stores import Server, SimStore
from simulator.trust.keys import Holder
from simulator.world import Process, World

_SPILL_BYTES = 64 << 10
_SEGMENT_BYTES = 8 << 10
_SNAPSHOT_BLOCKS = 10


class SimClock:
    """`settlement.clock.Clock` of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def monotonic(self) -> float:
        return self._process.monotonic()

    def sleep(self, seconds: float) -> None:
        self._process.io()
        self._process.wait(seconds)

    def time_ns(self) -> int:
        return self._process.time_ns()


class WatchedFeed(Feed):
    """A feed that reports the confirmations sent through it."""

    settlement: "SettlementProcess"

    def confirm(self, confirmation: wire.Confirmation) -> None:
        self.settlement.note_confirmation(confirmation.number)
        super().confirm(confirmation)


class SettlementProcess:
    """Runs one settlement process at a time, on the machine of the first engine, whose recovery reads the spill."""

    def __init__(self, world: World, network_state: NetworkState, server: Server, node: EngineNode) -> None:
        self.machine = node.machine
        self.drive = node.drive
        self.incidents: list[str] = []
        self.endings: list[str] = []
        self.confirmed: dict[int, int] = {}  # block number → hash
        self._world = world
        self._network_state = network_state
        self._server = server
        self._addresses = node.addresses
        self.holder = Holder(network_state.keys, KeyRole.SETTLEMENT, "settlement")
        self._process: Process | None = None
        self._waiting_blocks = world.rng.choice((4, 64))

    @property
    def is_drained(self) -> bool:
        return not any(path.suffix == SUFFIX and file.data for path, file in self.drive.files.items())

    def clock_of(self, process: Process) -> SimClock:
        return SimClock(process)

    def end(self) -> None:
        """Ends the process; it is started again."""
        if self._process is not None:
            self._process.end()

    def start(self) -> None:
        running = self._process = self._world.process("settlement", self.machine, may_crash=True)
        running.at_end.append(lambda: self._world.scheduler.after(self._world.rng.uniform(0.1, 3), self.start))
        running.start(lambda: self._run(running))

    def _run(self, running: Process) -> None:
        try:
            self._settle(running)
        except (SettlementError, MatchingError, StoreError, OSError) as error:
            self.endings.append(f"{self._world.scheduler.now_s:.3f} {type(error).__name__}: {error}")
            self._world.counts[f"settlement stopped: {type(error).__name__}"] += 1
        finally:
            running.end()

    def _settle(self, running: Process) -> None:
        clock, disk, key = SimClock(running), SimDisk(self.drive, running), self.holder.key
        store = SimStore(self._server, running)
        feed = WatchedFeed(
            self._addresses.blocks,
            self._addresses.retransmission,
            make_network=lambda: SimNetwork(self._network_state, running, key),
            clock=running.monotonic,
        )
        feed.settlement = self
        spill = Spill(DATA / "spill", _SPILL_BYTES, disk, _SEGMENT_BYTES)
        trail, letters = Trail(DATA, disk), DeadLetters(store, DATA, clock, disk)
        snapshots = SnapshotFolder(disk, DATA / "settlement-snapshots", keep=2)
        options = Options(waiting_blocks=self._waiting_blocks)
        worker.run(
            worker.Services(
                feed=feed,
                store=store,
                trail=trail,
                letters=letters,
                spill=spill,
                snapshotter=Snapshotter(snapshots, DirectWriter(snapshots), _SNAPSHOT_BLOCKS),
                clock=clock,
                stop=lambda: False,
                options=options,
            )
        )

    def note_confirmation(self, number: int) -> None:
        """Checks that a confirmed block is in the store or synced in the spill."""
        if number == 0 or number in self.confirmed:
            return
        digest = self._server.appended.get(number)
        if digest is None:
            digest = self._spilled().get(number)
        if digest is None:
            self.incidents.append(f"block {number} was confirmed and is neither in the store nor synced in the spill")
        else:
            self.confirmed[number] = digest

    def was_durable(self, number: int) -> bool:
        """Whether the block is or was in the store or in the spill."""
        return number in self._server.appended or number in self.confirmed or number in self._spilled()

    def _spilled(self) -> dict[int, int]:
        watcher = self._world.process("watcher", self.machine, may_crash=False)
        try:
            segments = Segments(SimDisk(self.drive, watcher), DATA / "spill", SUFFIX, "")
            return {block.number: block.hash for block in segments.peek()}
        finally:
            watcher.end()

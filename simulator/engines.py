"""Engine processes on their machines, and an operator who restarts them, promotes followers and makes mistakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exchange_site.engine_host.store_history import StoreHistory
from exchange_site.engine_host.store_watch import StoreWatch
from matching.client.connection import Connection
from matching.core import epochs
from matching.core.blocks import Block
from matching.core.errors import EngineUnreachable, MatchingError
from matching.node.process import Parts, Plan, follow_leader, lead
from matching.node.services import Services
from matching.storage.input_logs.base import InputLog
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.input_logs.wal import WalLog
from matching.storage.segments import Segments
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.key_register import KeyRole
from settlement.durable import spill
from settlement.durable.claim import Claim
from settlement.stores.base import StoreError
from simulator.disk import SimDisk, SimDrive
from simulator.network import NetworkState, SimNetwork
from simulator.stores import Server, SimStore
from simulator.trust.keys import Holder
from simulator.world import Machine, Process, World

DATA = Path("/data")
"""Data folder on the simulated drive of each machine."""

_SEGMENT_BYTES = 8192
_TIMEOUT_S = 3.0
_WATCH_S = 1.0
_RING_BLOCKS = 200
_SMALL_RING_BLOCKS = 12
_RING_BYTES = 1 << 20


@dataclass
class EngineNode:
    """One engine: its machine and addresses, and its current process. It is restarted whenever it ends."""

    name: str
    machine: Machine
    drive: SimDrive
    addresses: wire.Addresses
    holder: Holder
    process: Process | None = None
    parts: Parts | None = None  # while it runs and is ready
    endings: list[str] = field(default_factory=list)

    def end(self) -> None:
        """Ends the process; the operator starts it again."""
        if self.process is not None:
            self.process.end()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.alive


class Engines:
    """The engines of a run, and the operator who restarts them. With `has_wal`, leaders keep a write-ahead log."""

    def __init__(self, world: World, network_state: NetworkState, server: Server, *, has_wal: bool) -> None:
        self._world = world
        self._network_state = network_state
        self._server = server
        self._has_wal = has_wal
        self._snapshot_blocks = world.rng.choice((0, 5, 20))
        # A ring that drops blocks needs snapshots, or a follower that lags could never join again.
        self._ring_blocks = world.rng.choice(
            (_SMALL_RING_BLOCKS, _RING_BLOCKS) if self._snapshot_blocks else (_RING_BLOCKS,)
        )
        self._block_commands = world.rng.choice((4, 64))
        self.nodes = [self._node(name, world.machines[at]) for at, name in enumerate("AB")]
        world.repeatedly("second leader started", world.rates.second_leaders_a_minute, self._start_by_mistake)

    def _node(self, name: str, machine: Machine) -> EngineNode:
        drive = SimDrive(self._world, machine, DATA)
        addresses = wire.Addresses(*(f"tcp://{name}:{socket}" for socket in ("commands", "blocks", "retransmission")))
        holder = Holder(self._network_state.keys, KeyRole.ENGINE if name == "A" else KeyRole.FOLLOWER, f"engine {name}")
        return EngineNode(name, machine, drive, addresses, holder)

    @property
    def addresses(self) -> str:
        """Command addresses of all engines, for clients."""
        return ",".join(node.addresses.commands for node in self.nodes)

    @property
    def leader(self) -> EngineNode:
        """The engine that leads according to the store."""
        newest = epochs.newest(self._server.store.epochs())
        return next((node for node in self.nodes if newest and node.name == newest.engine), self.nodes[0])

    def start(self) -> None:
        for node in self.nodes:
            self._start(node)

    def _start(self, node: EngineNode, *, as_leader: bool = False, take_over: bool = False) -> None:
        if node.is_alive:
            return
        leader = self.leader
        follow = None if node is leader or as_leader else leader.addresses.commands
        running = self._world.process(node.name, node.machine, may_crash=True)
        node.process = running
        running.takes_over = take_over
        running.at_end.append(lambda: self._ended(node, running))
        running.start(lambda: self._run(node, running, follow, take_over=take_over))

    def _run(self, node: EngineNode, running: Process, follow: str | None, *, take_over: bool) -> None:
        def ready(parts: Parts) -> None:
            if running.alive:
                node.parts = parts

        services = self._services(node, running, take_over=take_over)
        plan = Plan(node.addresses, self._ring_blocks, _RING_BYTES, self._block_commands)
        try:
            if follow:
                follow_leader(plan, services, follow, timeout_s=_TIMEOUT_S, ready=ready, stop=lambda: False)
            else:
                lead(plan, services, ready, lambda: False)
        except (MatchingError, StoreError, OSError) as error:
            self._note(node, error)
        finally:
            running.end()

    def _note(self, node: EngineNode, error: Exception) -> None:
        node.endings.append(f"{self._world.scheduler.now_s:.3f} {type(error).__name__}: {error}")
        self._world.counts[f"engine stopped: {type(error).__name__}"] += 1

    def _services(self, node: EngineNode, running: Process, *, take_over: bool) -> Services:
        disk = SimDisk(node.drive, running)
        folder = SnapshotFolder(disk, DATA / "snapshots", keep=2)
        log: InputLog = WalLog(DATA / "wal", disk, _SEGMENT_BYTES) if self._has_wal else MemoryLog()
        store, key = SimStore(self._server, running), node.holder.key
        watch = self._watch(node)
        return Services(
            history=StoreHistory(
                store,
                lambda: spill.peek(DATA / "spill", disk),
                Claim(DATA / "spill", node.name, disk),
                sleep=running.wait,
                monotonic=running.monotonic,
            ),
            input_log=log,
            snapshotter=Snapshotter(folder, DirectWriter(folder), self._snapshot_blocks),
            make_network=lambda: SimNetwork(self._network_state, running, key),
            monotonic=running.monotonic,
            time_ns=running.time_ns,
            engine=node.name,
            superseded=lambda: watch().newest,
            stored=lambda: watch().stored,
            take_over=take_over,
        )

    def _watch(self, node: EngineNode) -> Callable[[], StoreWatch]:
        """Reads the store once a second, which `run_engine` does in a thread of its own."""
        watch = StoreWatch(self._server.store)
        next_s = [0.0]

        def current() -> StoreWatch:
            now_s = self._world.scheduler.now_s
            if now_s >= next_s[0] and not self._server.is_away:
                next_s[0] = now_s + _WATCH_S
                watch.read(node.parts.ring.last if node.parts else 0)
            return watch

        return current

    # The operator

    def _ended(self, node: EngineNode, running: Process) -> None:
        if node.process is not running:
            return
        node.parts = None
        other = next(one for one in self.nodes if one is not node)
        rng = self._world.rng
        if node is self.leader and other.is_alive and self._may_be_promoted(node, other):
            self._world.scheduler.after(rng.uniform(0.2, 3), lambda: self._promote(other, node))
        else:
            as_leader = rng.random() < 0.1  # somebody has forgotten --follow
            self._restart(node, rng.uniform(0.1, 3), as_leader=as_leader)

    def _restart(self, node: EngineNode, in_s: float, *, as_leader: bool = False) -> None:
        def start() -> None:
            self._damage_snapshot(node)
            self._start(node, as_leader=as_leader)

        self._world.scheduler.after(in_s, start)

    def _may_be_promoted(self, node: EngineNode, follower: EngineNode) -> bool:
        """Whether the operator promotes the follower. With a log, only if the follower has all blocks of the log."""
        if not self._world.happens("promotion tried", self._world.rates.promote):
            return False
        if not self._has_wal:
            return True
        logged = max((block.number for block in self._logged(node)), default=0)
        return follower.parts is not None and follower.parts.engine.block_number >= logged

    def _logged(self, node: EngineNode) -> list[Block]:
        watcher = self._world.process("operator", node.machine, may_crash=False)
        try:
            return list(Segments(SimDisk(node.drive, watcher), DATA / "wal", ".wal", "").peek())
        finally:
            watcher.end()

    def _promote(self, follower: EngineNode, dead: EngineNode) -> None:
        operator = self._world.process("operator", self._world.machines[-1], may_crash=False)
        key = self._network_state.keys.new(KeyRole.OPERATOR, "operator")

        def ask() -> None:
            connection = Connection(
                follower.addresses.commands,
                timeout_s=_TIMEOUT_S,
                make_network=lambda: SimNetwork(self._network_state, operator, key),
                clock=operator.monotonic,
                client_id=1,
            )
            try:
                answer = connection.ask(wire.PROMOTE)
                self._world.counts["promoted" if answer["ok"] else "promotion refused"] += 1
            except EngineUnreachable:
                self._world.counts["promotion not answered"] += 1
            finally:
                connection.close()
                operator.end()
                self._restart(dead, self._world.rng.uniform(0.1, 2))

        if not follower.is_alive:
            operator.end()
            self._restart(dead, 0.5)
            return
        operator.start(ask)

    def _start_by_mistake(self) -> None:
        """Operator's mistake.

        The follower is restarted as leader while the leader may be alive, perhaps with take-over.
        """
        node = next(node for node in self.nodes if node is not self.leader)
        running, node.process = node.process, None
        if running is not None:
            running.end()
        self._start(node, as_leader=True, take_over=self._world.rng.random() < 0.3)

    def _damage_snapshot(self, node: EngineNode) -> None:
        """Damages the newest snapshot as a defective or full disk would: empty, truncated, or one bit flipped."""
        found = sorted(path for path, file in node.drive.files.items() if path.suffix == ".snapshot" and file.data)
        if not found or not self._world.happens("snapshot damaged", self._world.rates.damage_snapshot):
            return
        file, rng = node.drive.files[found[-1]], self._world.rng
        what = rng.randrange(3)
        if what == 0:
            file.data = bytearray()
        elif what == 1:
            file.data = file.data[: rng.randrange(len(file.data))]
        else:
            file.data[rng.randrange(len(file.data))] ^= 1 << rng.randrange(8)
        file.synced = bytes(file.data)

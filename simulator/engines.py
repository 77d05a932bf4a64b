"""Engine processes on their machines, and an operator who restarts them, promotes followers and makes mistakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exchange_site.engine_host.store_history import StoreHistory
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
from matching.transport.sockets import Network
from settlement.durable import spill
from settlement.durable.claim import Claim
from settlement.stores.base import StoreError
from simulator.disk import SimDisk, SimDrive
from simulator.network import SimNetwork, Wires
from simulator.stores import Server, SimStore
from simulator.world import Machine, Process, World

DATA = Path("/data")
"""Data folder on the simulated drive of each machine."""

_SEGMENT_BYTES = 8192
_TIMEOUT_S = 3.0
_WATCH_S = 1.0
_RING_BLOCKS = 200
_RING_BYTES = 1 << 20


@dataclass
class Seat:
    """One engine: its machine and addresses, and its current process. It is restarted whenever it ends."""

    name: str
    machine: Machine
    drive: SimDrive
    addresses: wire.Addresses
    process: Process | None = None
    parts: Parts | None = None  # while it runs and is ready
    endings: list[str] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.alive


class Engines:
    """`has_wal`: leaders keep a write-ahead log."""

    def __init__(self, world: World, wires: Wires, server: Server, *, has_wal: bool) -> None:
        self._world = world
        self._wires = wires
        self._server = server
        self._has_wal = has_wal
        self._snapshot_blocks = world.rng.choice((0, 5, 20))
        self._block_commands = world.rng.choice((4, 64))
        self.seats = [self._seat(name, world.machines[at]) for at, name in enumerate("AB")]
        world.repeatedly("second leader started", world.rates.second_leaders_a_minute, self._start_by_mistake)

    def _seat(self, name: str, machine: Machine) -> Seat:
        drive = SimDrive(self._world, machine, DATA)
        addresses = wire.Addresses(*(f"tcp://{name}:{socket}" for socket in ("commands", "blocks", "retransmission")))
        return Seat(name, machine, drive, addresses)

    @property
    def addresses(self) -> str:
        """Command addresses of all engines, for clients."""
        return ",".join(seat.addresses.commands for seat in self.seats)

    @property
    def leader(self) -> Seat:
        """The engine that leads according to the store."""
        newest = epochs.newest(self._server.store.epochs())
        return next((seat for seat in self.seats if newest and seat.name == newest.engine), self.seats[0])

    def start(self) -> None:
        for seat in self.seats:
            self._start(seat)

    def _start(self, seat: Seat, *, as_leader: bool = False, take_over: bool = False) -> None:
        if seat.is_alive:
            return
        leader = self.leader
        follow = None if seat is leader or as_leader else leader.addresses.commands
        running = self._world.process(seat.name, seat.machine, may_crash=True)
        seat.process = running
        running.takes_over = take_over
        running.at_end.append(lambda: self._ended(seat, running))
        running.start(lambda: self._run(seat, running, follow, take_over=take_over))

    def _run(self, seat: Seat, running: Process, follow: str | None, *, take_over: bool) -> None:
        def ready(parts: Parts) -> None:
            if running.alive:
                seat.parts = parts

        services = self._services(seat, running, take_over=take_over)
        plan = Plan(seat.addresses, _RING_BLOCKS, _RING_BYTES, self._block_commands)
        try:
            if follow:
                follow_leader(plan, services, follow, timeout_s=_TIMEOUT_S, ready=ready, stop=lambda: False)
            else:
                lead(plan, services, ready, lambda: False)
        except (MatchingError, StoreError, OSError) as error:
            self._note(seat, error)
        finally:
            running.end()

    def _note(self, seat: Seat, error: Exception) -> None:
        seat.endings.append(f"{self._world.scheduler.now_s:.3f} {type(error).__name__}: {error}")
        self._world.counts[f"engine stopped: {type(error).__name__}"] += 1

    def _services(self, seat: Seat, running: Process, *, take_over: bool) -> Services:
        disk = SimDisk(seat.drive, running)
        folder = SnapshotFolder(disk, DATA / "snapshots", keep=2)
        log: InputLog = WalLog(DATA / "wal", disk, _SEGMENT_BYTES) if self._has_wal else MemoryLog()
        store = SimStore(self._server, running)
        return Services(
            history=StoreHistory(
                store,
                lambda: spill.peek(DATA / "spill", disk),
                Claim(DATA / "spill", seat.name, disk),
                sleep=running.wait,
                monotonic=running.monotonic,
            ),
            input_log=log,
            snapshotter=Snapshotter(folder, DirectWriter(folder), self._snapshot_blocks),
            make_network=lambda: self.network(running),
            monotonic=running.monotonic,
            time_ns=running.time_ns,
            engine=seat.name,
            superseded=self._watch(),
            take_over=take_over,
        )

    def network(self, running: Process) -> Network:
        return SimNetwork(self._wires, running)

    def _watch(self) -> Callable[[], epochs.Epoch | None]:
        """Reads the newest epoch from the store once a second, which `run_engine` does in a thread of its own."""
        known: list[epochs.Epoch | None] = [None]
        next_s = [0.0]

        def newest() -> epochs.Epoch | None:
            now_s = self._world.scheduler.now_s
            if now_s >= next_s[0] and not self._server.is_away:
                next_s[0] = now_s + _WATCH_S
                known[0] = epochs.newest(self._server.store.epochs())
            return known[0]

        return newest

    # The operator

    def _ended(self, seat: Seat, running: Process) -> None:
        if seat.process is not running:
            return
        seat.parts = None
        other = next(one for one in self.seats if one is not seat)
        rng = self._world.rng
        if seat is self.leader and other.is_alive and self._may_be_promoted(seat, other):
            self._world.scheduler.after(rng.uniform(0.2, 3), lambda: self._promote(other, seat))
        else:
            as_leader = rng.random() < 0.1  # somebody has forgotten --follow
            self._restart(seat, rng.uniform(0.1, 3), as_leader=as_leader)

    def _restart(self, seat: Seat, in_s: float, *, as_leader: bool = False) -> None:
        def start() -> None:
            self._damage_snapshot(seat)
            self._start(seat, as_leader=as_leader)

        self._world.scheduler.after(in_s, start)

    def _may_be_promoted(self, seat: Seat, follower: Seat) -> bool:
        """Whether the operator promotes the follower. With a log, only if the follower has all blocks of the log."""
        if not self._world.happens("promotion tried", self._world.rates.promote):
            return False
        if not self._has_wal:
            return True
        logged = max((block.number for block in self._logged(seat)), default=0)
        return follower.parts is not None and follower.parts.engine.block_number >= logged

    def _logged(self, seat: Seat) -> list[Block]:
        watcher = self._world.process("operator", seat.machine, may_crash=False)
        try:
            return list(Segments(SimDisk(seat.drive, watcher), DATA / "wal", ".wal", "").peek())
        finally:
            watcher.end()

    def _promote(self, follower: Seat, dead: Seat) -> None:
        operator = self._world.process("operator", self._world.machines[-1], may_crash=False)

        def ask() -> None:
            connection = Connection(
                follower.addresses.commands,
                timeout_s=_TIMEOUT_S,
                make_network=lambda: self.network(operator),
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
        seat = next(seat for seat in self.seats if seat is not self.leader)
        running, seat.process = seat.process, None
        if running is not None:
            running.end()
        self._start(seat, as_leader=True, take_over=self._world.rng.random() < 0.3)

    def _damage_snapshot(self, seat: Seat) -> None:
        """Damages the newest snapshot as a defective or full disk would: empty, truncated, or one bit flipped."""
        found = sorted(path for path, file in seat.drive.files.items() if path.suffix == ".snapshot" and file.data)
        if not found or not self._world.happens("snapshot damaged", self._world.rates.damage_snapshot):
            return
        file, rng = seat.drive.files[found[-1]], self._world.rng
        what = rng.randrange(3)
        if what == 0:
            file.data = bytearray()
        elif what == 1:
            file.data = file.data[: rng.randrange(len(file.data))]
        else:
            file.data[rng.randrange(len(file.data))] ^= 1 << rng.randrange(8)
        file.synced = bytes(file.data)

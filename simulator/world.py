"""Machines, processes and fault rates of a simulated run, drawn from its seed.

The seed determines which kinds of fault occur and how often, so that some runs have one kind only and others have all
at once. Faults end at `faulty_until_s`; afterwards everything must recover.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from matching.core import clients
from simulator.scheduler import Crashed, Scheduler, Task

_START_NS = 1_767_225_600 * 10**9  # 2026-01-01, UTC
_JUMP_S = (-86_400.0, -60.0, -0.5, 0.5, 60.0, 90_000.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Fault rates: probability for each operation, or number a minute where the name says so."""

    crash: float = 0.0  # at an I/O of an engine or settlement
    power: float = 0.0  # share of crashes in which the machine loses power
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    flip: float = 0.0  # one bit of a block in transit
    cuts_a_minute: float = 0.0
    disk_full_a_minute: float = 0.0
    store_slow: float = 0.0
    store_before: float = 0.0
    store_after: float = 0.0
    store_away_a_minute: float = 0.0
    store_refuses: float = 0.0
    jumps_a_minute: float = 0.0
    pauses_a_minute: float = 0.0
    damage_snapshot: float = 0.0  # while its engine is down
    promote: float = 0.0  # share of leader failures after which the follower is promoted
    second_leaders_a_minute: float = 0.0  # a second engine is started as leader
    forge: float = 0.0  # a block in transit gets another event, and the right hash
    forged_confirmations_a_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyRates:
    """Rates of events around keys; they are 0 in runs with an even seed."""

    intrusions_a_minute: float = 0.0  # somebody sends what his key does not permit
    replaced_keys_a_minute: float = 0.0  # a key is replaced while it is used, and the old one revoked


@dataclass(frozen=True, slots=True)
class ClientRates:
    """Rates of events around client ids, which runs with a seed divisible by three have."""

    idle: float = 0.0  # probability, after each batch, that a client sends nothing for a while
    second_programs_a_minute: float = 0.0  # by mistake, another program uses the key and the id of a client


_MAX_RATES = Rates(
    crash=0.01,
    power=1.0,
    drop=0.05,
    duplicate=0.05,
    reorder=0.05,
    delay=0.05,
    flip=0.01,
    cuts_a_minute=12,
    disk_full_a_minute=6,
    store_slow=0.1,
    store_before=0.1,
    store_after=0.05,
    store_away_a_minute=12,
    store_refuses=0.2,
    jumps_a_minute=10,
    pauses_a_minute=30,
    damage_snapshot=0.7,
    promote=1.0,
    second_leaders_a_minute=8,
    forge=0.005,
    forged_confirmations_a_minute=20,
)


_MAX_KEY_RATES = KeyRates(intrusions_a_minute=40, replaced_keys_a_minute=20)
_MAX_CLIENT_RATES = ClientRates(idle=0.2, second_programs_a_minute=60)
_IDLE_BLOCKS = (10, 20, 40)
"""A run has few blocks: its engines forget clients so soon that some are forgotten."""


def drawn(rng: random.Random, most: Rates | KeyRates | ClientRates) -> dict[str, float]:
    """Each kind of fault occurs with probability 0.6, at a random share of its maximum rate."""
    rates = {name: getattr(most, name) for name in type(most).__slots__}
    return {name: rate * rng.random() ** 1.5 if rng.random() < 0.6 else 0.0 for name, rate in rates.items()}


@dataclass
class Machine:
    """A machine: its processes share its clock, and all end when it loses power."""

    name: str
    clock_offset_ns: int = 0
    lose_power: list[Callable[[], None]] = field(default_factory=list)  # called at a power loss


class Process:
    """One run of a process. Its sockets, files and clock check here whether it is alive."""

    def __init__(self, world: "World", name: str, machine: Machine, *, may_crash: bool) -> None:
        self.world = world
        self.name = name
        self.machine = machine
        self.alive = True
        self.takes_over = False  # an engine that was started with take-over
        self.frozen_until_s = 0.0
        self._may_crash = may_crash
        self._task: Task | None = None
        self.at_end: list[Callable[[], None]] = []

    def start(self, body: Callable[[], None]) -> None:
        self._task = self.world.scheduler.spawn(self.name, body)

    def io(self, latency_s: float = 0.0, crash_factor: float = 1.0) -> None:
        """Called at each I/O operation, where the process may crash. Raises Crashed.

        `crash_factor` multiplies the crash rate.
        """
        if not self.alive:
            raise Crashed
        world = self.world
        if self._may_crash and world.happens("crash", crash_factor * world.rates.crash):
            self.crash(power=world.rng.random() < world.rates.power)
            raise Crashed
        if latency_s:
            self.wait(latency_s)
        pause_s = self.frozen_until_s - world.scheduler.now_s
        if pause_s > 0:
            self.wait(pause_s)

    def wait(self, seconds: float) -> None:
        if not self.alive:
            raise Crashed
        if self.world.running() is not None:  # no time passes for the checks after a run
            self.world.scheduler.sleep(seconds)

    def monotonic(self) -> float:
        return self.world.scheduler.now_s

    def time_ns(self) -> int:
        return _START_NS + int(self.world.scheduler.now_s * 1e9) + self.machine.clock_offset_ns

    def crash(self, *, power: bool = False) -> None:
        """Kills the process; with `power` all processes of its machine."""
        if power:
            self.world.counts["power loss"] += 1
            self.world.lose_power(self.machine)
        else:
            self.end()

    def end(self) -> None:
        """Ends the process at once; its sockets and files are closed."""
        if not self.alive:
            return
        self.alive = False
        for action in self.at_end:
            action()
        task = self._task
        if task is not None and not task.dead and task is not self.world.running():
            self.world.scheduler.kill(task)


class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 (no secret: the same seed has to give the same run)
        self.scheduler = Scheduler()
        self.rates = Rates(**drawn(self.rng, _MAX_RATES))
        self.key_rng = random.Random(f"keys {seed}")  # noqa: S311 (as above)
        """Separate from `rng`: a run without events around keys is the same as before such events were added."""
        has_key_events = seed % 2 == 1
        self.key_rates = KeyRates(**drawn(self.key_rng, _MAX_KEY_RATES)) if has_key_events else KeyRates()
        self.client_rng = random.Random(f"clients {seed}")  # noqa: S311 (as above)
        has_client_events = seed % 3 == 0
        self.client_rates = ClientRates(**drawn(self.client_rng, _MAX_CLIENT_RATES) if has_client_events else {})
        self.idle_blocks = self.client_rng.choice(_IDLE_BLOCKS) if has_client_events else clients.IDLE_BLOCKS
        """`IDLE_BLOCKS` of the engines."""
        self.counts: Counter[str] = Counter()
        self.faulty_until_s = self.rng.uniform(5, 25)
        self.machines: list[Machine] = []
        self.processes: list[Process] = []

    @property
    def is_faulty(self) -> bool:
        return self.scheduler.now_s < self.faulty_until_s

    def running(self) -> Task | None:
        return self.scheduler.running()

    def happens(self, kind: str, rate: float, rng: random.Random | None = None) -> bool:
        """Draws whether a fault with this probability occurs now, and counts it."""
        if not rate or not self.is_faulty or (rng or self.rng).random() >= rate:
            return False
        self.counts[kind] += 1
        return True

    def process(self, name: str, machine: Machine, *, may_crash: bool = True) -> Process:
        made = Process(self, name, machine, may_crash=may_crash)
        self.processes = [process for process in self.processes if process.alive] + [made]
        return made

    def lose_power(self, machine: Machine) -> None:
        for process in self.processes:
            if process.machine is machine:
                process.end()
        for lose in machine.lose_power:
            lose()

    def repeatedly(
        self, kind: str, a_minute: float, action: Callable[[], None], rng: random.Random | None = None
    ) -> None:
        """Calls `action` at random times while faults occur."""
        if not a_minute:
            return
        rng = rng or self.rng

        def act() -> None:
            if self.is_faulty:
                self.counts[kind] += 1
                action()
                self.scheduler.after(rng.expovariate(a_minute / 60), act)

        self.scheduler.after(rng.expovariate(a_minute / 60), act)

    def start_clock_and_pause_faults(self) -> None:
        """Schedules clock jumps and pauses of processes."""
        self.repeatedly("clock jump", self.rates.jumps_a_minute, self._jump)
        self.repeatedly("pause", self.rates.pauses_a_minute, self._pause)

    def _jump(self) -> None:
        machine = self.rng.choice(self.machines)
        machine.clock_offset_ns += int(self.rng.choice(_JUMP_S) * 1e9)

    def _pause(self) -> None:
        alive = [process for process in self.processes if process.alive]
        if alive:
            self.rng.choice(alive).frozen_until_s = self.scheduler.now_s + self.rng.uniform(0.1, 6)

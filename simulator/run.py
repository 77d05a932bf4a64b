"""Runs one seed: a cluster with faults, then without until everything has recovered or time is up, then the checks."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import xxhash

from matching.core import clients
from settlement.project.dead_letters import DeadLetters
from simulator import checks
from simulator.disk import SimDisk
from simulator.engines import DATA, Engines
from simulator.network import NetworkState, SimNetwork
from simulator.order_rules import orders_follow_the_rules
from simulator.settlement_process import SettlementProcess
from simulator.stores import Server, empty_database
from simulator.traffic import Trader, connection_maker
from simulator.trust.forger import Forger
from simulator.trust.intruders import FIRST_CLIENT, Intruders
from simulator.trust.key_operator import KeyOperator, Restartable
from simulator.trust.second_programs import SecondPrograms
from simulator.world import Machine, World

_RECOVERY_LIMIT_S = 240.0
"""Time limit for recovering after the last fault."""
_STALE_S = 15.0
"""Time after the beginning of an epoch in which an answer of the previous leader may still arrive."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`digest` is a hash of the chain and the events of the run: the same seed gives the same digest."""

    seed: int
    problems: tuple[str, ...]
    counts: Counter[str]
    simulated_s: float
    blocks: int
    answered: int
    digest: str


def simulate(seed: int) -> Outcome:
    random.seed(seed)  # the jitter of retries
    empty_database()
    run = _Run(seed)
    try:
        with mock.patch.object(clients, "IDLE_BLOCKS", run.world.idle_blocks):
            return run.outcome()
    finally:
        run.world.scheduler.end()


class _Run:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.world = world = World(seed)
        world.machines = [Machine(name) for name in ("one", "two", "clients")]
        self.network_state = NetworkState(world)
        self.server = Server(world)
        self.has_wal = world.rng.random() < 0.5
        self.engines = Engines(world, self.network_state, self.server, has_wal=self.has_wal)
        self.forger = Forger(
            world, self.network_state, self.engines, lambda number: self.settlement.was_durable(number)
        )
        self.intruders = Intruders(
            world,
            self.network_state,
            self.engines,
            identity=self.server.store.identity,
            look=self.forger.look,
        )
        self.settlement = SettlementProcess(world, self.network_state, self.server, self.engines.nodes[0])
        self.connect = connection_maker(
            self.engines.addresses, lambda process, key: SimNetwork(self.network_state, process, key)
        )
        self.traders = [self._trader(number) for number in range(1, world.rng.randint(2, 4))]
        self.second_programs = SecondPrograms(world, self.connect, self.traders)
        self.key_operator = KeyOperator(world, self.network_state.keys, list(self._holders()))
        world.start_clock_and_pause_faults()

    def _holders(self) -> Iterator[Restartable]:
        """Everyone whose key is replaced while it is used. Traders notice a new key by themselves."""
        for trader in self.traders:
            yield Restartable(trader.holder, lambda: None)
        for node in self.engines.nodes:
            yield Restartable(node.holder, node.end)
        yield Restartable(self.settlement.holder, self.settlement.end)

    def _trader(self, number: int) -> Trader:
        process = self.world.process(f"client {number}", self.world.machines[-1], may_crash=False)
        rng = random.Random(self.world.rng.random())  # noqa: S311 (seeded)
        trader = Trader(process, self.connect, rng, number, self.network_state.keys)
        process.start(trader.run)
        return trader

    def outcome(self) -> Outcome:
        self.engines.start()
        self.settlement.start()
        scheduler = self.world.scheduler
        deadline_s = self.world.faulty_until_s + _RECOVERY_LIMIT_S
        is_done = scheduler.run(self._is_done, deadline_s)
        problems = [*self.settlement.incidents, *self.forger.problems, *self.intruders.problems]
        problems += [problem for trader in self.traders for problem in trader.problems]
        if not is_done:
            problems += self._unfinished()
        else:
            problems += self._problems()
        chain = checks.chain_of(self.server.store)
        acknowledged = sum(len(trader.record.acknowledged) for trader in self.traders)
        history = f"{[block.hash for block in chain]} {sorted(self.world.counts.items())} {scheduler.now_s} {problems}"
        return Outcome(
            seed=self.seed,
            problems=tuple(problems),
            counts=self.world.counts,
            simulated_s=scheduler.now_s,
            blocks=len(chain),
            answered=acknowledged,
            digest=xxhash.xxh3_64_hexdigest(history.encode()),
        )

    def _is_done(self) -> bool:
        if self.world.is_faulty or not all(trader.is_done for trader in self.traders):
            return False
        parts = [node.parts for node in self.engines.nodes]
        if any(part is None for part in parts):
            return False
        ends = {(part.engine.block_number, part.engine.state_hash) for part in parts if part is not None}
        projected = self.server.store.projected()
        return ends == {(projected.block_number, projected.hash)} and self.settlement.is_drained

    def _unfinished(self) -> Iterator[str]:
        yield f"the cluster has not recovered {_RECOVERY_LIMIT_S:g} s after the last fault"
        for trader in self.traders:
            if not trader.is_done:
                yield f"{trader.name} is still waiting"
        for node in self.engines.nodes:
            where = f"at block {node.parts.engine.block_number} as {node.parts.board.role}" if node.parts else "not up"
            yield f"engine {node.name} is {where}; it ended before with: {node.endings[-3:]}"
        store = self.server.store
        yield f"settlement has appended {store.appended().block_number}, projected {store.projected().block_number}"
        yield f"settlement ended before with: {self.settlement.endings[-3:]}"

    def _problems(self) -> Iterator[str]:
        store = self.server.store
        auditor = self.world.process("auditor", self.settlement.machine, may_crash=False)
        disk = SimDisk(self.settlement.drive, auditor)
        letters = DeadLetters(store, DATA, self.settlement.clock_of(auditor), disk)
        for letter in letters.unresolved():
            if error := letters.replay(letter):
                yield f"dead letter {letter.block_number}: {error}"
        chain = checks.chain_of(store)
        yield from checks.store_is_in_order(store, DATA, disk)
        yield from checks.requests_come_once(chain)
        revoked = {sent for trader in self.traders for sent in trader.record.sent_revoked}
        yield from checks.nothing_unpermitted_is_sequenced(chain, FIRST_CLIENT, revoked)
        acknowledged = [answer for trader in self.traders for answer in trader.record.acknowledged]
        yield from checks.answers_are_kept(acknowledged, chain, self._allowed_losses())
        loss_reports_s = [at_s for trader in self.traders for at_s in trader.loss_reports_s]
        yield from checks.no_client_reports_a_loss(loss_reports_s, self._allowed_losses())
        yield from checks.blocks_stay("appended", self.server.appended, chain)
        yield from checks.blocks_stay("confirmed", self._confirmed_permanently(), chain)
        engines = [(node.name, node.parts.engine) for node in self.engines.nodes if node.parts]
        yield from checks.engines_agree(engines, chain)
        for _, engine in engines[:1]:  # the others have the same orders, or were reported
            yield from orders_follow_the_rules(chain, engine)

    def _confirmed_permanently(self) -> dict[int, int]:
        """Confirmed blocks, without those still in the spill when an engine without access to the spill began to lead.

        An operator started that engine with take-over, or it runs on another machine, without a log and without the
        spill.
        """
        elsewhere = {node.name for node in self.engines.nodes if node.machine is not self.settlement.machine}
        ends = [
            epoch.first_block
            for epoch in self.server.store.epochs()
            if epoch.number in self.server.forced or (epoch.engine in elsewhere and not self.has_wal)
        ]
        end = min(ends, default=None)
        return {n: digest for n, digest in self.settlement.confirmed.items() if end is None or n < end}

    def _allowed_losses(self) -> list[checks.AllowedLoss]:
        """With a log, epochs that an operator forced; without one, every new epoch."""
        return [
            checks.AllowedLoss(epoch.first_block, self.server.began_at_s[epoch.number] + _STALE_S)
            for epoch in self.server.store.epochs()
            if not self.has_wal or epoch.number in self.server.forced
        ]

"""A wrong system clock does not set block times or is detected, and the end of int64 nanoseconds stops no engine."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from matching.client.client import Client
from matching.core.engine import Engine
from matching.node.block_clock import MAX_AHEAD_NS, BlockClock
from matching.node.metrics import EngineMetrics
from matching.node.sequencer import Sequencer
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.storage.timestamps import LAST_TIMESTAMP_NS
from matching.transport.engine_roles import LEADER
from matching.transport.listening.connections import ConnectionCounts
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.memory_log import Shared, command_log
from tests.matching.places import HERE
from tests.matching.replicas import blocks, until_equal
from tests.matching.small_exchange import batch, deposit, leader_with, plan, replica_with, services

S = 10**9
NOW_NS = 1_700_000_000 * S
INT64_END = 2**63


@dataclass
class Machine:
    """An engine whose two clocks a test sets."""

    time_ns: int = NOW_NS
    now_s: float = 5.0
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        ring = Ring(100, 1 << 20)
        self.board = StatusBoard(self.engine, ring, HERE, LEADER, "memory")
        self.clock = BlockClock(lambda: self.time_ns, lambda: self.now_s, self.board, self.engine.timestamp_ns)
        self._sequencer = Sequencer(self.engine, ring, self.clock, 4)

    def passes(self, seconds: float) -> None:
        self.time_ns += int(seconds * S)
        self.now_s += seconds

    def block_time(self) -> int:
        """Makes a block and returns its time."""
        number = self.engine.clients.last_number(7, 0) + 1
        command = {"command": "asset", "symbol": f"A{number}", "decimals": 0}
        return self._sequencer.sequence([batch(self.engine, 7, number, [command])]).blocks[0].timestamp_ns

    def metrics(self) -> dict[str, float]:
        return {
            metric.name: metric.samples[0].value
            for metric in EngineMetrics(self.board, ConnectionCounts()).collect()
            if metric.name.startswith("engine_clock")
        }


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_clock_that_jumps_far_ahead_is_not_used_until_it_is_right_again(machine: Machine) -> None:
    assert machine.block_time() == NOW_NS
    machine.passes(3)
    machine.time_ns += 400 * MAX_AHEAD_NS
    with capture_logs() as told:
        assert [machine.block_time(), machine.block_time()] == [NOW_NS + 3 * S] * 2
        machine.passes(2)
        assert machine.block_time() == NOW_NS + 5 * S
    assert [entry["event"] for entry in told] == ["engine.clock_implausible"]
    assert machine.metrics() == {"engine_clock_jumps": 1, "engine_clock_implausible": 1}
    assert machine.board.fields()["clock_fault"] == (
        "This machine's clock has jumped ahead by 400 days: blocks are not dated by it. Correct the clock; if it is "
        "right now, as after the machine was suspended, restart this engine."
    )
    machine.time_ns -= 400 * MAX_AHEAD_NS
    with capture_logs() as told:
        assert machine.block_time() == NOW_NS + 5 * S
    assert [entry["event"] for entry in told] == ["engine.clock_plausible_again"]
    assert machine.metrics() == {"engine_clock_jumps": 1, "engine_clock_implausible": 0}
    assert machine.board.fields()["clock_fault"] is None


def test_a_second_jump_is_counted_again(machine: Machine) -> None:
    for _ in range(2):
        machine.block_time()
        machine.time_ns += 2 * MAX_AHEAD_NS
        machine.block_time()
        machine.time_ns -= 2 * MAX_AHEAD_NS
    assert machine.metrics()["engine_clock_jumps"] == 2


def test_a_clock_may_be_set_ahead_by_a_day_plus_the_elapsed_time(machine: Machine) -> None:
    machine.block_time()
    machine.passes(30 * 86_400)
    machine.time_ns += MAX_AHEAD_NS
    assert machine.block_time() == machine.time_ns
    assert machine.metrics() == {"engine_clock_jumps": 0, "engine_clock_implausible": 0}


def test_a_clock_that_returns_from_the_past_has_not_jumped(machine: Machine) -> None:
    machine.block_time()
    machine.time_ns -= 5 * MAX_AHEAD_NS
    assert machine.block_time() == NOW_NS
    machine.time_ns += 5 * MAX_AHEAD_NS
    machine.passes(1)
    assert machine.block_time() == NOW_NS + S
    assert machine.metrics()["engine_clock_jumps"] == 0


@pytest.mark.parametrize("reading_ns", [LAST_TIMESTAMP_NS + 1, INT64_END - 1, INT64_END, 2**64])
def test_a_clock_that_starts_after_the_last_timestamp_gives_blocks_the_time_of_the_one_before(reading_ns: int) -> None:
    before = Machine()
    before.block_time()
    machine = Machine(time_ns=reading_ns, engine=before.engine)
    assert [machine.block_time(), machine.block_time()] == [NOW_NS, NOW_NS]
    assert "reads a time after 2200-01-01" in machine.board.clock_fault
    assert machine.metrics() == {"engine_clock_jumps": 1, "engine_clock_implausible": 1}


def test_the_time_of_blocks_stops_at_the_last_timestamp() -> None:
    machine = Machine(time_ns=LAST_TIMESTAMP_NS - S)
    machine.block_time()
    machine.passes(5)
    assert machine.block_time() == LAST_TIMESTAMP_NS


def test_a_chain_whose_time_is_past_the_last_timestamp_continues_with_that_time() -> None:
    """Such blocks exist: earlier versions had no bound."""
    machine = Machine()
    machine.engine.timestamp_ns = INT64_END - 1
    assert [machine.block_time(), machine.block_time()] == [INT64_END - 1] * 2


def test_an_engine_that_starts_long_after_its_newest_block_says_so_and_uses_the_clock(machine: Machine) -> None:
    machine.block_time()
    with capture_logs() as told:
        later = Machine(time_ns=NOW_NS + 9 * MAX_AHEAD_NS, engine=machine.engine)
        assert [later.block_time(), later.block_time()] == [later.time_ns] * 2
    assert [(entry["event"], entry["days"]) for entry in told] == [("engine.clock_far_after_newest_block", 9)]


def test_a_leader_whose_clock_leaves_int64_answers_and_continues() -> None:
    readings = iter([NOW_NS, NOW_NS + S, NOW_NS + S, INT64_END - 1, INT64_END, 2**70])
    history = MemoryHistory()
    own = replace(services(history), time_ns=lambda: next(readings, 2**70))
    with leader_with(plan(), own) as one, Client(one.commands, time_ns=lambda: NOW_NS) as client:
        client.call(DEFINITIONS)
        for at in range(3):
            assert client.call([deposit(1, f"a-{at}")])[0].rejected is None
        times = [block.timestamp_ns for block in blocks(one)]
        assert times[0] == NOW_NS + S
        assert times[-1] < NOW_NS + 3600 * S
        assert one.parts.board.counters.clock_jumps == 1
    assert not one.failures


def test_an_epoch_that_begins_while_the_clock_is_past_int64_is_stored() -> None:
    history = MemoryHistory()
    with leader_with(plan(), replace(services(history), time_ns=lambda: INT64_END)):
        assert [epoch.began_at_ns for epoch in history.epochs()] == [0]


def test_replicas_with_different_clocks_date_blocks_alike_by_the_log_alone() -> None:
    times = [NOW_NS, NOW_NS + S, INT64_END, LAST_TIMESTAMP_NS + 1, NOW_NS + 3 * S, NOW_NS + 500 * MAX_AHEAD_NS]
    shared = Shared(time_ns=lambda offset: times[min(offset, len(times) - 1)])
    with ExitStack() as opened:
        running = []
        for own_clock in (lambda: NOW_NS, lambda: NOW_NS + 900 * MAX_AHEAD_NS):
            own = replace(services(MemoryHistory()), time_ns=own_clock)
            log = opened.enter_context(command_log(shared))
            running.append(opened.enter_context(replica_with(plan(), own, log)))
        with Client(running[0].commands, time_ns=lambda: NOW_NS) as client:
            client.call(DEFINITIONS)
            for at in range(3):
                client.call([deposit(1, f"a-{at}")])
        until_equal(*running)
        dated = [[block.timestamp_ns for block in blocks(one)] for one in running]
        assert dated[0] == dated[1]
        assert dated[0] == [NOW_NS, *[NOW_NS + S] * 3, NOW_NS + 3 * S, NOW_NS + 500 * MAX_AHEAD_NS]
        # Both replicas count the times after 2199 as one; only the first replica's own clock shows the jump.
        assert [one.parts.board.counters.clock_jumps for one in running] == [2, 1]
        assert "The log's clock has jumped ahead by 500 days" in running[0].parts.board.clock_fault

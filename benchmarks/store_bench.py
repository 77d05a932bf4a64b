"""Benchmark of settlement's store: appending blocks, projecting rows, and lookups.

Runs in one process without an engine: blocks are made beforehand. It uses a temporary keyspace or SQLite file, so that
settled data is not touched. For ScyllaDB and Cassandra the driver alone is measured before and after in the same run,
as a reference for what the machine can do at that time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from django.db import connections
from prometheus_client import REGISTRY

from benchmarks import bare_scylla, settled_blocks
from benchmarks.keyspace import temporary_keyspace
from benchmarks.processes import BenchError
from matching.core.blocks import Block
from settlement import wiring
from settlement.clock import SystemClock
from settlement.options import Options
from settlement.project.columns.trades import day_of
from settlement.project.dead_letters import DeadLetters
from settlement.project.projector import Projections
from settlement.project.trail import Trail
from settlement.receive.chain import stored
from settlement.stores.base import Store
from settlement.stores.retrying import StoreRetrier, finish
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore

STORES = ("sql", "scylla")
ALIAS = "bench_store"
_LOOKUPS = 200
_BARE_ROWS = 10_000
_PAGE = 50
_RANGE = 100
_SLICE = 1000  # event sequences

Say = Callable[[str], object]


@dataclass(frozen=True)
class Phase:
    """Duration of one phase. CPU seconds are those of this process, which waits for the server the rest of the time."""

    seconds: float
    cpu_seconds: float
    requests: int


class DriverRun(NamedTuple):
    """One measurement of the driver alone: rows a second by number of batches in flight."""

    rates: dict[int, int]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Bare:
    """Rows a second of the driver alone before and after the store, by batches in flight; total time of both."""

    before: dict[int, int]
    after: dict[int, int]
    seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, before: "DriverRun", after: "DriverRun") -> "Bare":
        seconds, cpu_seconds = before.seconds + after.seconds, before.cpu_seconds + after.cpu_seconds
        return cls(before.rates, after.rates, round(seconds, 3), round(cpu_seconds, 3))

    @property
    def best(self) -> int:
        return max(*self.before.values(), *self.after.values())


@dataclass(frozen=True)
class StoreSpeed:
    store: str
    workload: str
    commands: int
    blocks: int
    block_bytes: int
    trades: int
    appended: Phase
    projected: Phase
    rows: dict[str, int]  # written by the projection, by table
    bare: Bare | None
    lookups_ms: dict[str, tuple[float, float]]  # median, 95th percentile

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        rows, wall_s = sum(self.rows.values()), self.projected.seconds
        return {
            **asdict(self),
            "commands_per_second_appended": round(self.commands / self.appended.seconds),
            "trades_per_second_projected": round(self.trades / wall_s),
            "rows_per_second_projected": round(rows / wall_s),
            "rows_per_second_bare": self.bare.best if self.bare else None,
            "ratio_to_bare": round(rows / wall_s / self.bare.best, 2) if self.bare else None,
            "rows_a_trade": {table: round(count / max(1, self.trades), 2) for table, count in self.rows.items()},
            "rows_a_request": round(rows / max(1, self.projected.requests), 1),
        }


def measure(name: str, workload: str, commands: int, *, seed: int, say: Say) -> StoreSpeed:
    """Raises BenchError, StoreUnavailable, StoreRejected, CannotRun."""
    wiring.collect_garbage_rarely()
    with (
        TemporaryDirectory(prefix="exchange-bench-") as folder,
        temporary_store(name, Path(folder)) as (store, access),
    ):
        say(f"making the workload {workload}")
        blocks = settled_blocks.make(workload, commands, seed=seed)
        say("measuring the driver alone")
        before = _bare(access)
        say("appending and projecting")
        options = wiring.options(store=name)
        projections = projections_in(store, Path(folder), options)
        append(store, projections, blocks.setup)
        project(projections)
        rows_before = _rows_written()
        appended = timed(lambda: append(store, projections, blocks.stream))
        projected = timed(lambda: project(projections))
        rows = {table: count - rows_before.get(table, 0) for table, count in _rows_written().items()}
        say("looking up")
        lookups = _lookups(store, seed)
        after = _bare(access)
        return StoreSpeed(
            store=name,
            workload=workload,
            commands=blocks.commands,
            blocks=len(blocks.stream),
            block_bytes=sum(len(block.data) for block in blocks.stream),
            trades=sum(stored(block).trade_count for block in blocks.stream),
            appended=appended,
            projected=projected,
            rows={table: count for table, count in rows.items() if count and table != "engine_blocks"},
            bare=Bare.of(before, after) if before and after else None,
            lookups_ms=lookups,
        )


# The temporary store


@contextmanager
def temporary_store(name: str, folder: Path) -> Iterator[tuple[Store, Access | None]]:
    """A temporary store, removed afterwards. Dead letters are in SQL with both kinds of store."""
    sqlite = "settlement.stores.sql.sqlite"
    made = {**connections.settings["default"], "ENGINE": sqlite, "NAME": str(folder / "store.sqlite3"), "OPTIONS": {}}
    connections.settings[ALIAS] = made
    try:
        if name == "sql":
            store = SqlStore(ALIAS)
            store.init()
            yield store, None
        else:
            with temporary_keyspace() as access:
                scylla = ScyllaStore(access, SqlStore(ALIAS))
                scylla.init()
                scylla.connect()
                yield scylla, access
    finally:
        connections[ALIAS].close()
        del connections[ALIAS], connections.settings[ALIAS]


# Measurements


def _bare(access: Access | None) -> DriverRun | None:
    if access is None:
        return None
    cpu_s, began_s = time.process_time(), time.perf_counter()
    rates = {width: round(rate) for width, rate in bare_scylla.rates(access, _BARE_ROWS).items()}
    return DriverRun(rates, time.perf_counter() - began_s, time.process_time() - cpu_s)


def projections_in(store: Store, folder: Path, options: Options) -> Projections:
    clock = SystemClock()
    letters = DeadLetters(store, folder, clock)
    projections = Projections(
        store, trail=Trail(folder), letters=letters, clock=clock, options=options, retrier=StoreRetrier(clock, options)
    )
    finish(projections.begin(), clock.sleep)
    return projections


def append(store: Store, projections: Projections, blocks: Sequence[Block]) -> None:
    at_once = wiring.options().receive_blocks
    for at in range(0, len(blocks), at_once):
        rows = [stored(block) for block in blocks[at : at + at_once]]
        store.append_blocks(rows)
        projections.add(rows)


def project(projections: Projections) -> None:
    while projections.lag:
        finish(projections.step(), time.sleep)


def timed(action: Callable[[], object]) -> Phase:
    requests, cpu_s, began_s = _requests(), time.process_time(), time.perf_counter()
    action()
    seconds = time.perf_counter() - began_s
    return Phase(round(seconds, 3), round(time.process_time() - cpu_s, 3), _requests() - requests)


def _requests() -> int:
    return int(REGISTRY.get_sample_value("settlement_db_latency_ms_count") or 0)


def _rows_written() -> dict[str, int]:
    """Rows by table, from the store's metric."""
    (metric,) = (one for one in REGISTRY.collect() if one.name == "settlement_db_inserts")
    return {s.labels["table"]: int(s.value) for s in metric.samples if s.name.endswith("_total")}


def _lookups(store: Store, seed: int) -> dict[str, tuple[float, float]]:
    slices = (store.get_trades_by_sequence_range(first, first + _SLICE - 1, _SLICE) for first in _slice_starts(store))
    trades = [trade for found in slices for trade in found]
    if not trades:
        raise BenchError("The workload has no trades to look up: give --commands a larger number.")
    random = np.random.default_rng(seed)
    actions: dict[str, Callable[[Any], object]] = {
        "get_trade_by_id": lambda trade: store.get_trade_by_id(trade.trade_id),
        f"get_trades_by_sequence_range, {_RANGE}": lambda trade: store.get_trades_by_sequence_range(
            trade.trade_id, 1 << 62, _RANGE
        ),
        f"get_trades_by_account, {_PAGE}": lambda trade: store.get_trades_by_account(
            trade.buyer, _PAGE, trade.trade_id
        ),
        f"trading_day and its newest {_PAGE}": lambda trade: _newest_of_day(store, trade.timestamp_ns),
    }
    return {
        name: _milliseconds(action, [trades[index] for index in random.integers(0, len(trades), _LOOKUPS)])
        for name, action in actions.items()
    }


def _slice_starts(store: Store) -> range:
    """First sequences of at most a hundred slices, distributed over all settled events."""
    newest = store.newest_trades(1)
    last = newest[0].trade_id if newest else 0
    return range(0, last + 1, max(_SLICE, last // 100 + 1))


def _newest_of_day(store: Store, at_ns: int) -> object:
    day = store.trading_day(day_of(at_ns))
    assert day is not None
    return store.newest_trades(_PAGE, before=day.last_trade_id + 1)


def _milliseconds(action: Callable[[Any], object], keys: Sequence[Any]) -> tuple[float, float]:
    taken = []
    for key in keys:
        began_s = time.perf_counter()
        action(key)
        taken.append((time.perf_counter() - began_s) * 1000)
    median, most = np.percentile(taken, (50, 95)).tolist()
    return round(median, 2), round(most, 2)

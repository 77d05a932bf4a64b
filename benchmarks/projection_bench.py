"""Benchmark of the projection on SQLite: CPU time by stage, and settlement's speed beside that of the driver alone.

Runs in one process without an engine, in temporary files. Settlement and the bare driver write the same rows into the
same indexed tables, in turn, each time into a new file.
"""

import sqlite3
import time
from collections.abc import Sequence
from cProfile import Profile
from dataclasses import asdict, dataclass
from pathlib import Path
from pstats import Stats
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from django.db import connections

from benchmarks import settled_blocks, store_bench
from benchmarks.settled_blocks import Blocks
from matching.core.blocks import Block
from settlement import wiring
from settlement.project.projection import EmptyTables, Projector
from settlement.project.trail import Trail
from settlement.receive.chain import stored
from settlement.stores.base import Projection
from settlement.stores.base.columns import ColumnTable
from settlement.stores.sql import statements as sql
from settlement.stores.sql.entries import entries_of
from settlement.stores.sql.store import SqlStore

Say = store_bench.Say

STAGES = {
    "decode": ("records_of",),
    "ledger": ("columns/balances.py:__init__", "_load_balances", "_fold_ledger", "columns/balances.py:table_of"),
    "orders": ("columns/orders.py:__init__", "_load_orders", "_fold_orders"),
    "trades and candles": ("columns/trades.py:__init__", "table", "minutes", "days", "_load_candles", "_fold_candles"),
    "all of project": ("project",),
    "objects for the driver": ("make_objects",),
    "trail": ("append",),
    "SQL": ("insert_batch",),
}
"""The functions of each stage; those before `all of project` are parts of it."""


@dataclass(frozen=True)
class ProjectionSpeed:
    workload: str
    events: int
    trades: int
    rows: int
    batches: int
    cpu_us_an_event: dict[str, float]  # by stage
    settled_seconds: list[float]  # of each turn: projected, with the trail, and written
    bare_seconds: list[float]  # the same rows written by the driver alone
    settled_cpu_seconds: list[float]
    bare_cpu_seconds: list[float]

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        settled_s, bare_s = median(self.settled_seconds), median(self.bare_seconds)
        return {
            **asdict(self),
            "trades_per_second": round(self.trades / settled_s),
            "rows_per_second": round(self.rows / settled_s),
            "rows_per_second_bare": round(self.rows / bare_s),
            "ratio_to_bare": round(bare_s / settled_s, 2),
            "ratio_to_bare_of_cpu": round(median(self.bare_cpu_seconds) / median(self.settled_cpu_seconds), 2),
        }


def measure(workload: str, commands: int, *, seed: int, turns: int, say: Say) -> ProjectionSpeed:
    """Raises StoreUnavailable, StoreRejected, CannotRun."""
    wiring.collect_garbage_rarely()
    say(f"making the workload {workload}")
    blocks = settled_blocks.make(workload, commands, seed=seed)
    setup, stream = _batches(blocks.setup), _batches(blocks.stream)
    say("measuring the stages")
    stages, projections = _stages(setup, stream)
    settled, bare = [], []
    for turn in range(turns):
        say(f"turn {turn + 1} of {turns}: settlement, then the driver alone")
        settled.append(_settled(blocks))
        bare.append(_bare(projections))
    events = sum(block.event_count for block in blocks.stream)
    return ProjectionSpeed(
        workload=workload,
        events=events,
        trades=sum(stored(block).trade_count for block in blocks.stream),
        rows=sum(len(rows) for projection in projections for _, rows in _tables(projection)),
        batches=len(projections),
        cpu_us_an_event={name: round(seconds / events * 1e6, 2) for name, seconds in stages.items()},
        settled_seconds=[wall_s for wall_s, _ in settled],
        bare_seconds=[wall_s for wall_s, _ in bare],
        settled_cpu_seconds=[cpu_s for _, cpu_s in settled],
        bare_cpu_seconds=[cpu_s for _, cpu_s in bare],
    )


def _batches(blocks: Sequence[Block]) -> list[list[Block]]:
    """As settlement makes them of a backlog."""
    found: list[list[Block]] = [[]]
    for block in blocks:
        if sum(one.event_count for one in found[-1]) >= wiring.options().batch_events:
            found.append([])
        found[-1].append(block)
    return [batch for batch in found if batch]


def make_objects(projection: Projection) -> None:
    """Makes the Python objects that the driver takes; they are kept with the columns."""
    for _, rows in _tables(projection):
        if isinstance(rows, ColumnTable):
            _ = rows.lists


def _stages(setup: Sequence[list[Block]], stream: Sequence[list[Block]]) -> tuple[dict[str, float], list[Projection]]:
    """CPU seconds of each stage for `stream`, and its projections."""
    with (
        TemporaryDirectory(prefix="exchange-bench-") as folder,
        store_bench.temporary_store("sql", Path(folder)) as (store, _),
    ):
        projector, trail = Projector(EmptyTables(), kept=None), Trail(Path(folder))
        profile = Profile(time.process_time)
        found: list[Projection] = []
        for batch in (*setup, *stream):
            is_measured = batch is stream[0] or bool(found)
            if is_measured:
                profile.enable()
            projection = projector.project(batch)
            make_objects(projection)
            trail.append(projection.trades, projector.registry)
            store.insert_batch(projection)
            profile.disable()
            if is_measured:
                found.append(projection)
        trail.close()
    return _cumulative(profile), found


def _cumulative(profile: Profile) -> dict[str, float]:
    calls = Stats(profile).stats  # type: ignore[attr-defined]
    ends = {stage: tuple(name if ":" in name else f":{name}" for name in names) for stage, names in STAGES.items()}
    taken = {f"{file}:{name}": times[3] for (file, _, name), times in calls.items() if _is_ours(file)}
    return {stage: sum(s for name, s in taken.items() if name.endswith(of)) for stage, of in ends.items()}


def _is_ours(file: str) -> bool:
    return "/settlement/" in file or file == __file__


def _settled(blocks: Blocks) -> tuple[float, float]:
    """Wall and CPU seconds of settlement's projection of the stream."""
    with (
        TemporaryDirectory(prefix="exchange-bench-") as folder,
        store_bench.temporary_store("sql", Path(folder)) as (store, _),
    ):
        projections = store_bench.projections_in(store, Path(folder), wiring.options(store="sql"))
        store_bench.append(store, projections, blocks.setup)
        store_bench.project(projections)
        store_bench.append(store, projections, blocks.stream)
        phase = store_bench.timed(lambda: store_bench.project(projections))
        return phase.seconds, phase.cpu_seconds


def _bare(projections: Sequence[Projection]) -> tuple[float, float]:
    """Wall and CPU seconds of `executemany` alone, with rows that are tuples already; a transaction for each batch."""
    batches = [[(table, list(map(tuple, rows))) for table, rows in _tables(one)] for one in projections]
    with (
        TemporaryDirectory(prefix="exchange-bench-") as folder,
        store_bench.temporary_store("sql", Path(folder)) as (store, _),
    ):
        assert isinstance(store, SqlStore)
        store.connect()
        driver: sqlite3.Connection = connections[store_bench.ALIAS].connection
        phase = store_bench.timed(lambda: _write(driver, batches))
        return phase.seconds, phase.cpu_seconds


def _write(driver: sqlite3.Connection, batches: Sequence[Sequence[tuple[str, list[Any]]]]) -> None:
    for batch in batches:
        driver.execute("BEGIN")
        for statement, rows in batch:
            driver.executemany(statement, rows)
        driver.execute("COMMIT")


def _tables(projection: Projection) -> list[tuple[str, Sequence[Any]]]:
    """(statement, rows) of each table: plain inserts where rows are final, upserts where a later batch changes them."""
    found = [
        (sql.PUT_TRADE, projection.trades),
        (sql.PUT_ORDER, projection.orders),
        (sql.PUT_LEDGER_EVENT, entries_of(projection.ledger_events)),
        (sql.PUT_BALANCE, projection.balances),
        (sql.PUT_CANDLE, projection.candles),
        (sql.PUT_TRADING_DAY, projection.days),
    ]
    return [
        ((put.row_by_row.split(" ON CONFLICT")[0] if put.is_final else put.row_by_row).replace("%s", "?"), rows)
        for put, rows in found
    ]

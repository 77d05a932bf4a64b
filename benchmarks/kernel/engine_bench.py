"""Benchmark of the engine: commands a second in blocks, with funds, fees, events, client order ids and block hash."""

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

from matching.core import kernel
from matching.core.blocks import Block
from matching.core.codes import EventKind
from matching.workloads.generated import Batch, Workload, request_of

BLOCK_COMMANDS = 512
_TRADE = int(EventKind.TRADE)


@dataclass
class Totals:
    """Results of applying a workload's commands without its setup; the same in every run and on every machine."""

    trades: int = 0
    traded_quantity: int = 0  # lots
    events: int = 0
    state_hash: str = ""

    def add(self, block: Block) -> None:
        traded = block.events["kind"] == _TRADE
        self.trades += int(traded.sum())
        self.traded_quantity += int(block.events["quantity"][traded].sum())
        self.events += block.event_count
        self.state_hash = f"{block.hash:016x}"


@dataclass
class Measured:
    """Results of one workload. The lists have one entry for each repetition.

    `resting_before` and `resting_after` are numbers of open orders. On a shared machine, rates for each CPU second are
    more meaningful than those for each second.
    """

    workload: str
    instruments: int
    accounts: int
    commands: int
    block_commands: int
    resting_before: int
    resting_after: int = 0
    totals: Totals = field(default_factory=Totals)
    commands_per_second: list[float] = field(default_factory=list)
    commands_per_cpu_second: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The JSON document of `--json`."""
        fields = asdict(self)
        totals = fields.pop("totals")
        speeds = {name: _spread(fields.pop(name)) for name in ("commands_per_second", "commands_per_cpu_second")}
        return {**fields, **totals, **speeds, "repetitions": len(self.commands_per_second)}


def _spread(rates: list[float]) -> dict[str, int]:
    return {"median": round(median(rates)), "min": round(min(rates)), "max": round(max(rates))}


class NotDeterministic(Exception):
    """Two runs of the same commands ended in different states."""


def measure(workload: Workload, repetitions: int, progress: Callable[[], object] = lambda: None) -> Measured:
    """Applies the workload to new engines; only `Engine.apply` is timed. Raises NotDeterministic.

    The first run only counts events, without timing, and warms up.
    """
    kernel.compile_now()
    batches = list(workload.stream.batches(BLOCK_COMMANDS))
    engine = workload.engine()
    size = len(workload.stream)
    found = Measured(
        workload=workload.name,
        instruments=workload.instruments,
        accounts=workload.accounts,
        commands=size,
        block_commands=BLOCK_COMMANDS,
        resting_before=engine.open_order_count,
    )
    for batch in batches:
        found.totals.add(engine.apply(request_of(len(batch.commands)), batch.commands, batch.texts, 0))
    found.resting_after = engine.open_order_count
    progress()
    for _ in range(repetitions):
        engine = None  # type: ignore[assignment]  # free it first: two engines may not fit into memory
        run = apply_timed(workload, batches)
        if run.state_hash != found.totals.state_hash:
            raise NotDeterministic(f"One run ended at state {found.totals.state_hash}, another at {run.state_hash}.")
        found.commands_per_second.append(size / run.seconds)
        found.commands_per_cpu_second.append(size / run.cpu_seconds)
        progress()
    return found


class Run(NamedTuple):
    """The time that applying all blocks took, and the state hash after them."""

    seconds: float
    cpu_seconds: float
    state_hash: str


def apply_timed(workload: Workload, batches: list[Batch]) -> Run:
    """Applies all blocks to a new engine."""
    engine = workload.engine()
    requests = [request_of(len(batch.commands)) for batch in batches]
    gc.collect()
    gc.disable()
    try:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for request, batch in zip(requests, batches, strict=True):
            engine.apply(request, batch.commands, batch.texts, 0)
        seconds, cpu_seconds = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    finally:
        gc.enable()
    return Run(seconds, cpu_seconds, f"{engine.state_hash:016x}")

"""The kernel against the reference loop, in interleaved rounds: only ratios within one run can be compared."""

import gc
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.kernel.engine_bench import BLOCK_COMMANDS, Totals, apply_timed
from benchmarks.kernel.reference_loop import ReferenceBook
from benchmarks.machine import machine
from matching.core import kernel
from matching.workloads.generated import Batch, Workload, request_of


class TotalsDiffer(Exception):
    """The kernel and the reference loop did not trade the same."""


@dataclass
class Rounds:
    """CPU nanoseconds a command, one entry for each round."""

    workload: str
    commands: int
    trades: int
    traded_lots: int
    kernel_ns: list[float] = field(default_factory=list)
    loop_ns: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The JSON document that is kept: quartiles, and how many times the loop's time the kernel takes."""
        ratios = [of_kernel / of_loop for of_kernel, of_loop in zip(self.kernel_ns, self.loop_ns, strict=True)]
        return {
            "workload": self.workload,
            "commands": self.commands,
            "block_commands": BLOCK_COMMANDS,
            "trades": self.trades,
            "traded_lots": self.traded_lots,
            "rounds": len(ratios),
            "kernel_ns": _quartiles(self.kernel_ns),
            "loop_ns": _quartiles(self.loop_ns),
            "kernel_by_loop": _quartiles(ratios),
        }

    def line(self) -> str:
        found = self.document()
        times, loop, ratio = (found[name] for name in ("kernel_ns", "loop_ns", "kernel_by_loop"))
        return (
            f"{self.workload}: kernel {times['median']} ns a command (quartiles {times['lower']}, {times['upper']}), "
            f"matching alone {loop['median']} ({loop['lower']}, {loop['upper']}), "
            f"ratio {ratio['median']} ({ratio['lower']}, {ratio['upper']}), {found['rounds']} rounds"
        )


def measure(workload: Workload, rounds: int) -> Rounds:
    """Applies the workload's stream to new engines and new reference books in turn. Raises TotalsDiffer.

    The workload has one instrument. A round of each, to warm up, is not counted; neither is the setup.
    """
    kernel.compile_now()
    batches = list(workload.stream.batches(BLOCK_COMMANDS))
    totals = Totals()
    engine = workload.engine()
    for batch in batches:
        totals.add(engine.apply(request_of(len(batch.commands)), batch.commands, batch.texts, 0))
    found = Rounds(workload.name, len(workload.stream), totals.trades, totals.traded_quantity)
    time_loop(workload, batches, found)
    for _ in range(rounds):
        found.kernel_ns.append(apply_timed(workload, batches).cpu_seconds / found.commands * 1e9)
        found.loop_ns.append(time_loop(workload, batches, found) / found.commands * 1e9)
    return found


def keep(found: list[Rounds], folder: Path) -> Path:
    """Adds a line with the results to `kernel-rounds.jsonl` in the folder. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "kernel-rounds.jsonl"
    document = {"machine": machine(), "kernel": [each.document() for each in found]}
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(document) + "\n")
    return file


def time_loop(workload: Workload, batches: list[Batch], found: Rounds) -> float:
    """CPU seconds of the reference loop."""
    book = ReferenceBook(workload)
    gc.collect()
    began = time.process_time()
    for batch in batches:
        book.apply(batch.commands)
    seconds = time.process_time() - began
    if (book.trades, book.traded_lots) != (found.trades, found.traded_lots):
        raise TotalsDiffer(
            f"{found.workload}: the kernel made {found.trades} trades of {found.traded_lots} lots, the reference loop "
            f"{book.trades} of {book.traded_lots}."
        )
    return seconds


def _quartiles(values: list[float]) -> dict[str, float]:
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return {"lower": round(lower, 2), "median": round(median(values), 2), "upper": round(upper, 2)}

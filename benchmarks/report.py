"""Runs the benchmarks of kernel, pipeline and store, each in its own process; reports a Markdown table and JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from benchmarks.keyspace import unavailable_reason
from benchmarks.machine import machine
from benchmarks.processes import BenchError
from benchmarks.settled_blocks import WORKLOADS

Document = dict[str, Any]


class Run(NamedTuple):
    """One row of the table: its title and the command that measures it."""

    title: str
    command: tuple[str, ...]


KERNEL = (
    Run("hot book", ("bench_engine", "--workload", "hot")),
    Run("deep book", ("bench_engine", "--workload", "deep")),
    Run(
        "100 instruments, 1,000,000 accounts",
        ("bench_engine", "--workload", "hot", "--instruments", "100", "--accounts", "1000000", "--repetitions", "3"),
    ),
    Run(
        "2,000,000 resting orders",
        ("bench_engine", "--workload", "deep", "--resting", "2000000", "--repetitions", "3"),
    ),
)
PIPELINES = (
    Run("pipeline, sql", ("bench_pipeline", "--store", "sql")),
    Run("pipeline, scylla", ("bench_pipeline", "--store", "scylla", "--commands", "100000")),
)
STORES = tuple(
    Run(f"store, {store}, {workload}", ("bench_store", "--store", store, "--workload", workload))
    for store in ("sql", "scylla")
    for workload in WORKLOADS
)


def measure(files: Sequence[Path], say: Callable[[str], object]) -> Document:
    """Runs these benchmarks; that of the kernel also for each order flow file. Raises BenchError."""
    own = [Run(file.stem, ("bench_engine", "--workload", str(file))) for file in files]
    skipped = unavailable_reason()
    if skipped is not None:
        say(f"skipping benchmarks of ScyllaDB and Cassandra: {skipped}")

    def measured(runs: Iterable[Run]) -> list[Document]:
        found = []
        for run in runs:
            if skipped is None or "scylla" not in run.command:
                say(run.title)
                found.append({"title": run.title, **_document(run)})
        return found

    kernel, pipelines, stores = measured((*KERNEL, *own)), measured(PIPELINES), measured(STORES)
    return {"machine": machine(), "kernel": kernel, "pipelines": pipelines, "stores": stores, "skipped": skipped}


def table(found: Document) -> str:
    """Markdown."""
    where = found["machine"]
    lines = [
        f"Measured {where['at']} on {where['cpus']} × {where['cpu']}, Python {where['python']}, load {where['load']}.",
        "",
        "| kernel, blocks of 512 | commands/s, median | min | max | a CPU second | trades | events | resting orders |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["kernel"]:
        speeds = [row["commands_per_second"][name] for name in ("median", "min", "max")]
        counts = [row[name] for name in ("trades", "events", "resting_after")]
        numbers = [*speeds, row["commands_per_cpu_second"]["median"], *counts]
        lines.append(f"| {row['title']} | {' | '.join(f'{number:,}' for number in numbers)} |")
    for row in found["pipelines"]:
        lines += ["", *_pipeline_table(row)]
    lines += ["", *_store_table(found["stores"])]
    if found["skipped"] is not None:
        lines += ["", f"ScyllaDB or Cassandra was not measured: {found['skipped']}"]
    return "\n".join([*lines, ""])


def save(found: Document, folder: Path) -> tuple[Path, Path]:
    """Writes table and document. Returns their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    text, document = folder / "bench.md", folder / "bench.json"
    text.write_text(table(found), encoding="utf-8")
    document.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return text, document


def _pipeline_table(row: Document) -> list[str]:
    latency = row["latency"]
    return [
        f"| client → engine → settlement → {row['store']} store, batches of {row['batch_commands']} "
        "| a second | seconds |",
        "|---|---:|---:|",
        f"| commands answered | {row['commands_per_second_answered']:,} | {row['seconds_answered']:.2f} |",
        f"| commands durable and confirmed | {row['commands_per_second_durable']:,} | {row['seconds_durable']:.2f} |",
        f"| trades projected, every table | {row['trades_per_second_projected']:,} | {row['seconds_projected']:.2f} |",
        f"| trades projected, orders that are taken at once | {row['trading']['trades_per_second_projected']:,} | "
        f"{row['trading']['seconds_projected']:.2f} |",
        f"| events projected, every table | {row['events_per_second_projected']:,} | {row['seconds_projected']:.2f} |",
        "",
        "| one command at a time | p50 µs | p99 µs |",
        "|---|---:|---:|",
        f"| answer of the engine | {latency['p50_us']:.0f} | {latency['p99_us']:.0f} |",
        f"| bare ZeroMQ round trip | {latency['bare_p50_us']:.0f} | {latency['bare_p99_us']:.0f} |",
        f"| ratio | {latency['p50_ratio']} | {latency['p99_ratio']} |",
    ]


def _store_table(rows: Sequence[Document]) -> list[str]:
    lines = [
        "| store alone | commands/s appended | trades/s projected | rows/s projected | driver alone, rows/s | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        rates = [row[f"{name}_projected"] for name in ("trades_per_second", "rows_per_second")]
        numbers = " | ".join(f"{number:,}" for number in (row["commands_per_second_appended"], *rates))
        bare, ratio = row["rows_per_second_bare"], row["ratio_to_bare"]
        lines.append(f"| {row['title']} | {numbers} | {f'{bare:,} | {ratio}' if bare else ' | '} |")
    lines += ["", "| lookup | trades stored | median ms | p95 ms |", "|---|---:|---:|---:|"]
    for row in rows:
        for name, (median, most) in row["lookups_ms"].items():
            lines.append(f"| {row['title']}: {name} | {row['trades']:,} | {median} | {most} |")
    return lines


def _document(run: Run) -> Document:
    command = [sys.executable, "manage.py", *run.command, "--json"]
    with (
        subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True) as process,
        ExitStack() as on_error,
    ):
        on_error.callback(process.terminate)  # it has to end the processes that it started
        out, _ = process.communicate()
        on_error.pop_all()
    if process.returncode:
        raise BenchError(f"{run.title}: {' '.join(run.command)} ended with status {process.returncode}.")
    document: Document = json.loads(out)
    return document

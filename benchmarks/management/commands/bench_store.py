import json
import sys
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from benchmarks import store_bench
from benchmarks.processes import BenchError
from benchmarks.settled_blocks import WORKLOADS
from matching.commandline.number_options import command_count, seed_number
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = "Measure settlement's store: blocks appended, rows projected, lookups; in a keyspace or file of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", choices=store_bench.STORES, help="default: SETTLEMENT_STORE")
        parser.add_argument("--workload", choices=WORKLOADS, default="demo")
        parser.add_argument("--commands", type=command_count, default=20_000, metavar="N")
        parser.add_argument("--seed", type=seed_number, default=1)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self, *, store: str | None, workload: str, commands: int, seed: int, as_json: bool, **options: Any
    ) -> str:
        name = store or settings.SETTLEMENT_STORE
        try:
            found = store_bench.measure(name, workload, commands, seed=seed, say=self.say)
        except BenchError as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        return json.dumps(found.document()) if as_json else text(found)

    def say(self, line: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(line, self.style.NOTICE)


def text(found: store_bench.StoreSpeed) -> str:
    document = found.document()
    lines = [
        f"{found.store}, {found.workload}: {found.commands:,} commands, {found.blocks:,} blocks of "
        f"{found.block_bytes / max(1, found.blocks) / 1024:.0f} KiB, {found.trades:,} trades",
        line("appended", document["commands_per_second_appended"], "commands/s", found.appended),
        line("projected", document["trades_per_second_projected"], "trades/s", found.projected),
        line("", document["rows_per_second_projected"], "rows/s", found.projected),
    ]
    if found.bare:
        widths = ", ".join(f"{width}: {rate:,}" for width, rate in found.bare.after.items())
        lines.append(
            f"  the driver alone {found.bare.best:,} rows/s (after the store, by batches in flight: {widths}), "
            f"CPU {found.bare.cpu_seconds:.2f} of {found.bare.seconds:.2f} s"
        )
        lines.append(f"  ratio {document['ratio_to_bare']}, {document['rows_a_request']} rows a request")
    each = sorted(document["rows_a_trade"].items(), key=lambda item: -item[1])
    lines.append(f"  rows a trade: {', '.join(f'{table} {count:g}' for table, count in each)}")
    lines += [f"  {name}: median {median} ms, p95 {most} ms" for name, (median, most) in found.lookups_ms.items()]
    return "\n".join(lines)


def line(what: str, rate: int, unit: str, phase: store_bench.Phase) -> str:
    took = f"{phase.seconds:.2f} s, CPU {phase.cpu_seconds:.2f} s, {phase.requests:,} requests" if what else ""
    return f"  {what:<10}{rate:>10,} {unit:<11}{took}".rstrip()

import json
import sys
from typing import Any

from django.core.management import CommandParser

from benchmarks import projection_bench
from benchmarks.settled_blocks import WORKLOADS
from matching.commandline.number_options import command_count, seed_number
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = "Measure the projection on SQLite: CPU time by stage, and the speed beside the driver alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workload", choices=WORKLOADS, default="pairs")
        parser.add_argument("--commands", type=command_count, default=20_000, metavar="N")
        parser.add_argument("--turns", type=command_count, default=3, metavar="N", help="of settlement and the driver")
        parser.add_argument("--seed", type=seed_number, default=1)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, workload: str, commands: int, turns: int, seed: int, as_json: bool, **options: Any) -> str:
        found = projection_bench.measure(workload, commands, seed=seed, turns=turns, say=self.say)
        return json.dumps(found.document()) if as_json else text(found)

    def say(self, line: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(line, self.style.NOTICE)


def text(found: projection_bench.ProjectionSpeed) -> str:
    document = found.document()
    lines = [
        f"{found.workload}: {found.events:,} events, {found.trades:,} trades, {found.rows:,} rows in "
        f"{found.batches} batches",
        *(f"  {stage:<24}{us:>7.2f} µs CPU an event" for stage, us in found.cpu_us_an_event.items()),
        f"  settlement {document['trades_per_second']:,} trades/s, {document['rows_per_second']:,} rows/s",
        f"  the driver alone {document['rows_per_second_bare']:,} rows/s",
        f"  ratio {document['ratio_to_bare']}; of CPU time {document['ratio_to_bare_of_cpu']}",
    ]
    return "\n".join(lines)

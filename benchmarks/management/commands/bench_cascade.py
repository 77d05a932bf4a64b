import json
from pathlib import Path
from statistics import median
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks.bench_command import BenchCommand
from benchmarks.delays import cascade_bench
from benchmarks.processes import BenchError
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count, whole_number
from matching.core.errors import MatchingError


class Command(BenchCommand):
    help = "Measure how one command that triggers, meets or cancels many orders delays another client."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--kind", action="append", choices=cascade_bench.KINDS, dest="kinds", help="may be repeated; default: all"
        )
        parser.add_argument("--orders", type=command_count, default=cascade_bench.ORDERS, metavar="N")
        parser.add_argument(
            "--repetitions",
            type=whole_number(1, 100),
            default=cascade_bench.REPETITIONS,
            metavar="N",
            help="default: 3",
        )
        self.add_folder(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self,
        *,
        kinds: list[str] | None,
        orders: int,
        repetitions: int,
        folder: Path | None,
        as_json: bool,
        **options: Any,
    ) -> str | None:
        self.refuse_missing(folder)
        found = []
        try:
            with stoppable():
                for measured in cascade_bench.measure(
                    kinds or cascade_bench.KINDS, orders, repetitions, parent=folder, say=self.say
                ):
                    found.append(measured)
                    if not as_json:
                        self.stdout.write(line(measured))
        except (BenchError, MatchingError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps([measured.document() for measured in found]) if as_json else None


def line(measured: cascade_bench.Measured) -> str:
    longest = measured.longest_ms
    return (
        f"{measured.kind:<10} {measured.orders:,} orders, {measured.events:,} events: answered after "
        f"{median(measured.command_ms):,.0f} ms; longest answer of another client {median(longest):,.0f} ms, at most "
        f"{max(longest):,.0f} ms (usually {median(measured.usual_ms):,.2f} ms); the engine's memory grew by at most "
        f"{max(measured.growth_mib):,.0f} MiB"
    )

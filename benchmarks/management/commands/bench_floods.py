import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks.bench_command import BenchCommand
from benchmarks.delays import floods_bench
from benchmarks.processes import BenchError
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count
from matching.core.errors import MatchingError


class Command(BenchCommand):
    help = "Measure how floods of messages delay another client."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--kind", action="append", choices=floods_bench.KINDS, dest="kinds", help="may be repeated; default: all"
        )
        parser.add_argument(
            "--samples", type=command_count, default=1000, metavar="N", help="round trips for each figure"
        )
        self.add_folder(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self, *, kinds: list[str] | None, samples: int, folder: Path | None, as_json: bool, **options: Any
    ) -> str | None:
        self.refuse_missing(folder)
        found = []
        try:
            with stoppable():
                for delay in floods_bench.measure(kinds or floods_bench.KINDS, samples, parent=folder, say=self.say):
                    found.append(delay)
                    if not as_json:
                        self.stdout.write(line(delay))
        except (BenchError, MatchingError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps([delay.document() for delay in found]) if as_json else None


def line(delay: floods_bench.Delay) -> str:
    return (
        f"{delay.kind:<17} p50 {delay.p50_us:>7,.0f} µs, {delay.p50_us / delay.quiet_p50_us:.1f} × without a flood, "
        f"{delay.p50_us / delay.elsewhere_p50_us:.1f} × with a flood of another engine; "
        f"p99 {delay.p99_us:>7,.0f} µs, {delay.p99_us / delay.quiet_p99_us:.1f} × and "
        f"{delay.p99_us / delay.elsewhere_p99_us:.1f} ×; engine's peak {delay.engine_peak_mib:,} MiB"
    )

import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks import keys_bench
from benchmarks.bench_command import BenchCommand
from benchmarks.processes import BenchError
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count, seed_number
from matching.core.errors import MatchingError


class Command(BenchCommand):
    help = "Measure an engine with keys and one without in turn: what CURVE sockets cost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rounds", type=command_count, default=10, metavar="N")
        parser.add_argument(
            "--commands", type=command_count, default=100_000, metavar="N", help="commands sent in batches, per round"
        )
        parser.add_argument(
            "--samples", type=command_count, default=1000, metavar="N", help="commands sent one at a time, per round"
        )
        parser.add_argument("--seed", type=seed_number, default=1)
        self.add_folder(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self,
        *,
        rounds: int,
        commands: int,
        samples: int,
        seed: int,
        folder: Path | None,
        as_json: bool,
        **options: Any,
    ) -> str:
        self.refuse_missing(folder)
        try:
            with stoppable():
                found = keys_bench.measure(rounds, commands, samples, seed=seed, parent=folder, say=self.say)
        except (BenchError, MatchingError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps(found.document()) if as_json else text(found)


def text(found: keys_bench.Cost) -> str:
    plain, keys, ratios = found.plain.medians(), found.keys.medians(), found.ratios()
    lines = [
        f"{name:<22} plain {plain[key]:>12,.0f}   with keys {keys[key]:>12,.0f}   cost {ratios[ratio]:.2f}"
        for name, key, ratio in (
            ("commands/s in batches", "commands_per_second", "commands"),
            ("one at a time, p50 µs", "p50_us", "p50"),
            ("one at a time, p99 µs", "p99_us", "p99"),
            ("block stream, MB/s", "stream_mb_per_second", "stream"),
        )
    ]
    return "\n".join([f"Medians of {len(found.plain.p50_us)} rounds; a cost over 1: keys make it slower", *lines])

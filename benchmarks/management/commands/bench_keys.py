import json
import sys
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from benchmarks import keys_bench
from benchmarks.processes import BenchError
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count, seed_number
from matching.core.errors import MatchingError


class Command(BaseCommand):
    help = "Measure an engine with keys and one without in turn: what CURVE sockets cost."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rounds", type=command_count, default=10, metavar="N")
        parser.add_argument("--commands", type=command_count, default=100_000, metavar="N", help="a round, in batches")
        parser.add_argument("--samples", type=command_count, default=1000, metavar="N", help="a round, one at a time")
        parser.add_argument("--seed", type=seed_number, default=1)
        parser.add_argument("--folder", type=Path, help="folder for its DATA_DIRs; default: that of temporary files")
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
        if folder is not None and not folder.is_dir():
            raise CommandError(f"--folder must be an existing folder: {folder} is not one.", returncode=2)
        try:
            with stoppable():
                found = keys_bench.measure(rounds, commands, samples, seed=seed, parent=folder, say=self.say)
        except (BenchError, MatchingError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps(found.document()) if as_json else text(found)

    def say(self, line: str) -> None:
        if sys.stderr.isatty():
            self.stderr.write(line, self.style.NOTICE)


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

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from benchmarks import report
from benchmarks.processes import BenchError
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable


class Command(ProjectCommand):
    help = "Run the benchmarks of kernel, pipeline and store; print a table, and write it and JSON to a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        default = settings.BASE_DIR / "bench-results"
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE.npy", help="order flow to measure as well")
        parser.add_argument("--output", type=Path, default=default, metavar="FOLDER", help="default: bench-results")

    def handle(self, *, files: list[Path], output: Path, **options: Any) -> str:
        try:
            missing = [file for file in files if not file.is_file()]
            if missing:
                raise CommandError(f"{missing[0]} is not a file.", returncode=2)
            with stoppable(lambda: f"nothing was written to {output}"):
                found = report.measure([file.resolve() for file in files], self.stderr.write)
            text, document = report.save(found, output)
        except (BenchError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        self.stderr.write(f"written to {text} and {document}")
        return report.table(found)

"""What the benchmarks of running processes share: the option `--folder`, and progress."""

import sys
from pathlib import Path

from django.core.management import CommandError, CommandParser

from matching.commandline.command import ProjectCommand


class BenchCommand(ProjectCommand):
    def add_folder(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, help="folder for its DATA_DIR; default: that of temporary files")

    def refuse_missing(self, folder: Path | None) -> None:
        """Raises CommandError."""
        if folder is not None and not folder.is_dir():
            raise CommandError(f"--folder must be an existing folder: {folder} is not one.", returncode=2)

    def say(self, text: str) -> None:
        """Shows progress on a terminal."""
        if sys.stderr.isatty():
            self.stderr.write(text, self.style.NOTICE)

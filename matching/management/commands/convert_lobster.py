import json
import re
from contextlib import AbstractContextManager
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from django.core.management import CommandError, CommandParser

from matching.client.jsonlines import dumps
from matching.commandline import progress
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.output import flushed
from matching.core.errors import BadFile
from matching.storage.text_files import written_whole
from matching.workloads import lobster


class Command(ProjectCommand):
    help = "Convert NASDAQ messages in LOBSTER form to commands. Prints counts to standard error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="MESSAGES.csv[.gz]")
        parser.add_argument("--output", type=Path, metavar="COMMANDS.jsonl", help="default: standard output")
        parser.add_argument("--stock", help="symbol, 1 to 16 of A-Z and dot (default: from the file name)")

    def handle(self, *, file: Path, output: Path | None, stock: str | None, **options: Any) -> None:
        stock = stock or lobster.stock_named(file)
        if not re.fullmatch(r"[A-Z.]{1,16}", stock) or stock == lobster.QUOTE:
            raise CommandError(f"--stock must be 1 to 16 of A-Z and dot, and not {lobster.QUOTE}.", returncode=2)
        counts = lobster.Counts()
        target: AbstractContextManager[TextIO | TextIOBase]
        target = written_whole(output) if output else flushed(self.stdout)

        def so_far() -> str:
            return f"{counts.messages} messages were read{f', and {output} was not written' if output else ''}"

        try:
            with (
                stoppable(so_far),
                lobster.opened(file) as lines,
                target as commands,
                progress.bar(file.name, "messages") as shown,
            ):
                for command in lobster.convert(lobster.read(lines), stock, counts):
                    commands.write(dumps(command) + "\n")
                    shown.update(counts.messages - shown.n)
        except BadFile as error:
            raise CommandError(str(error), returncode=2) from error
        self.stderr.write(json.dumps(counts.summary()), self.style.NOTICE)

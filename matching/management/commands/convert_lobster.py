import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from django.core.management import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from matching import lobster
from matching.errors import BadFile
from matching.jsonlines import dumps


class Command(BaseCommand):
    help = "Turn NASDAQ messages in LOBSTER form into commands; what was skipped stands on standard error, by reason."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="MESSAGES.csv[.gz]")
        parser.add_argument("--output", type=Path, metavar="COMMANDS.jsonl", help="default: standard output")
        parser.add_argument("--stock", help="its symbol, 1 to 16 of A-Z and dot; default: out of the file's name")

    def handle(self, *, file: Path, output: Path | None, stock: str | None, **options: Any) -> None:
        stock = stock or lobster.stock_named(file)
        if not re.fullmatch(r"[A-Z.]{1,16}", stock) or stock == lobster.QUOTE:
            raise CommandError(f"--stock is 1 to 16 of A-Z and dot, and not {lobster.QUOTE}.", returncode=2)
        counts = lobster.Counts()
        try:
            with lobster.opened(file) as lines, written(output) as commands:
                messages = lobster.read(tqdm(lines, file.name, unit=" messages", disable=not sys.stderr.isatty()))
                for command in lobster.convert(messages, stock, counts):
                    commands.write(dumps(command) + "\n")
        except BadFile as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:
            raise CommandError(f"{error.filename or 'the output'}: {error.strerror}.", returncode=2) from error
        self.stderr.write(json.dumps(counts.summary()), self.style.NOTICE)


@contextmanager
def written(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that does not stay when it could not be finished."""
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="ascii") as file:
        try:
            yield file
        except (BadFile, OSError):
            if output.is_file():
                output.unlink()
            raise

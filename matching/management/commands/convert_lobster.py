import json
import re
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from matching.client.jsonlines import dumps
from matching.commandline import progress
from matching.commandline.interruption import stoppable
from matching.core.errors import BadFile
from matching.management.commands.replay import Output, whole
from matching.storage.text_files import written_whole
from matching.workloads import lobster


class Command(BaseCommand):
    help = "Turn NASDAQ messages in LOBSTER form into commands; what was skipped stands on standard error, by reason."
    requires_system_checks: list[str] = []  # it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="MESSAGES.csv[.gz]")
        parser.add_argument("--output", type=Path, metavar="COMMANDS.jsonl", help="default: standard output")
        parser.add_argument("--stock", help="its symbol, 1 to 16 of A-Z and dot; default: out of the file's name")

    def handle(self, *, file: Path, output: Path | None, stock: str | None, **options: Any) -> None:
        stock = stock or lobster.stock_named(file)
        if not re.fullmatch(r"[A-Z.]{1,16}", stock) or stock == lobster.QUOTE:
            raise CommandError(f"--stock is 1 to 16 of A-Z and dot, and not {lobster.QUOTE}.", returncode=2)
        counts = lobster.Counts()
        target: Output = written_whole(output) if output else whole(self.stdout)
        try:
            with stoppable(), lobster.opened(file) as lines, target as commands:
                messages = lobster.read(progress.bar(file.name, "messages", over=lines))
                commands.writelines(dumps(command) + "\n" for command in lobster.convert(messages, stock, counts))
        except BadFile as error:
            raise CommandError(str(error), returncode=2) from error
        self.stderr.write(json.dumps(counts.summary()), self.style.NOTICE)

from contextlib import AbstractContextManager
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from django.core.management import CommandError, CommandParser

from matching.client.jsonlines import dumps
from matching.client.replay import MAX_BLOCK_COMMANDS, replay
from matching.commandline import progress
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import whole_number
from matching.commandline.output import flushed
from matching.core.errors import MatchingError
from matching.core.kernel import compile_now
from matching.storage.text_files import lines_of, written_whole

_COULD_NOT_RUN = 2


class Command(ProjectCommand):
    help = "Run the commands of a JSON Lines file through a new engine. Prints one event per line, then a summary."

    def add_arguments(self, parser: CommandParser) -> None:
        size, number = whole_number(1, MAX_BLOCK_COMMANDS), whole_number(1)
        parser.add_argument("file", type=Path, metavar="COMMANDS.jsonl", help="-: standard input")
        parser.add_argument(
            "--events", type=Path, metavar="EVENTS.jsonl", help="write the events to this file, whole or not at all"
        )
        parser.add_argument(
            "--block-size", type=size, default=512, metavar="N", help="commands per block (default 512)"
        )
        parser.add_argument("--snapshot-at", type=number, metavar="N", help="continue from a snapshot after command N")

    def handle(
        self, *, file: Path, events: Path | None, block_size: int, snapshot_at: int | None, **options: Any
    ) -> None:
        if events and events.exists() and file.exists() and events.samefile(file):
            raise CommandError(f"{file} is the input: name another file for the events.", returncode=_COULD_NOT_RUN)
        target: AbstractContextManager[TextIO | TextIOBase]
        target = written_whole(events) if events else flushed(self.stdout)
        lines_read = 0

        def count() -> None:
            nonlocal lines_read
            lines_read += 1
            shown.update()

        def so_far() -> str:
            return f"{lines_read} lines were read{f', and {events} was not written' if events else ''}"

        try:
            lines = lines_of(file)
            with stoppable(so_far), progress.bar(file.name, "lines") as shown, target as output:
                compile_now()
                done = replay(lines, block_size=block_size, snapshot_at=snapshot_at, progress=count)
                output.writelines(dumps(event) + "\n" for event in done)
        except MatchingError as error:
            raise CommandError(str(error), returncode=_COULD_NOT_RUN) from error

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from django.core.management import BaseCommand, CommandError, CommandParser

from matching.client.jsonlines import dumps
from matching.client.replay import MOST_BLOCK_COMMANDS, replay
from matching.commandline import progress
from matching.core.errors import MatchingError
from matching.core.kernel import compile_now
from matching.storage.text_files import lines_of, written_whole

Output = AbstractContextManager[TextIO | TextIOBase]

_COULD_NOT_RUN = 2
_INTERRUPTED = 130  # as shells say it: 128 and SIGINT


class Command(BaseCommand):
    help = "Run the commands of a JSON Lines file through a fresh engine: events, one a line, then a summary line."
    requires_system_checks: list[str] = []  # it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="COMMANDS.jsonl")
        parser.add_argument("--events", type=Path, metavar="EVENTS.jsonl", help="write here, whole or not at all")
        parser.add_argument("--block-size", type=int, default=512, metavar="N", help="commands a block (default: 512)")
        parser.add_argument("--snapshot-at", type=int, metavar="N", help="after command N go on from a snapshot")

    def handle(
        self, *, file: Path, events: Path | None, block_size: int, snapshot_at: int | None, **options: Any
    ) -> None:
        if not 1 <= block_size <= MOST_BLOCK_COMMANDS or (snapshot_at is not None and snapshot_at < 1):
            raise CommandError(
                f"--block-size is 1 to {MOST_BLOCK_COMMANDS}, --snapshot-at is 1 or more.", returncode=_COULD_NOT_RUN
            )
        if events and events.exists() and file.exists() and events.samefile(file):
            raise CommandError(f"{file} is read: name another file for the events.", returncode=_COULD_NOT_RUN)
        target: Output = written_whole(events) if events else whole(self.stdout)
        try:
            lines = lines_of(file)
            with sigterm_interrupts(), progress.bar(file.name, "lines") as shown, target as output:
                compile_now()
                done = replay(lines, block_size=block_size, snapshot_at=snapshot_at, progress=shown.update)
                output.writelines(dumps(event) + "\n" for event in done)
        except MatchingError as error:
            raise CommandError(str(error), returncode=_COULD_NOT_RUN) from error
        except KeyboardInterrupt as error:
            raise CommandError("Stopped.", returncode=_INTERRUPTED) from error


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def whole(output: TextIOBase) -> Iterator[TextIOBase]:
    """Standard output, flushed: a reader that went away, or a full disk, is told and not passed over."""
    try:
        yield output
        output.flush()
    except OSError as error:
        # Python flushes what is left when it ends, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandError(
            f"standard output cannot be written: {error.strerror}.", returncode=_COULD_NOT_RUN
        ) from error

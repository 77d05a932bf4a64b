import json
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from matching.client.connection import Connection
from matching.client.submission import submit
from matching.commandline import engine_addresses, progress
from matching.core.errors import EngineRefused, EngineUnreachable, MatchingError, NoAnswer
from matching.transport.wire import MAX_BATCH_COMMANDS


class Command(BaseCommand):
    help = "Send the commands of a JSON Lines file to a running engine and wait for every answer."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="COMMANDS.jsonl")
        parser.add_argument("--batch", type=int, default=500, help=f"commands a message, 1 to {MAX_BATCH_COMMANDS}")
        parser.add_argument("--rate", type=float, metavar="PER_SECOND", help="commands a second; default: no limit")
        parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="for the answer to a batch")
        parser.add_argument("--address", default=engine_addresses.addresses(), help="command addresses, commas between")

    def handle(
        self, *, file: Path, batch: int, rate: float | None, timeout: float, address: str, **options: Any
    ) -> str:
        if not 1 <= batch <= MAX_BATCH_COMMANDS or (rate is not None and rate <= 0) or timeout <= 0:
            raise CommandError(
                f"--batch is 1 to {MAX_BATCH_COMMANDS}; --rate and --timeout are more than 0.", returncode=2
            )
        try:
            with file.open(encoding="utf-8", errors="replace") as lines, progress.bar(file.name, "commands") as shown:
                connection = Connection(address, timeout_s=timeout)
                try:
                    done = submit(connection, lines, batch_commands=batch, rate=rate, progress=shown.update)
                finally:
                    connection.close()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=2) from error
        except (NoAnswer, EngineRefused) as error:
            raise CommandError(str(error), returncode=1) from error
        except EngineUnreachable as error:
            raise CommandError(engine_addresses.unreachable(error, address), returncode=2) from error
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps(done.summary())

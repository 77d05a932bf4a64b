import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from exchange_site.engine_host.newest_epoch import newest_epoch
from matching.client.command_lines import numbered_commands
from matching.client.connection import Connection
from matching.client.submission import Submission, submit
from matching.commandline import engine_addresses, progress
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import per_second, seconds, whole_number
from matching.commandline.own_keys import LOCAL_KEY, KeyName, key_name, network_of
from matching.commandline.submission_report import Choices, Report, kept_journal, so_far
from matching.core.errors import EngineRefused, EngineUnreachable, MatchingError, NoAnswer
from matching.storage.text_files import lines_of
from matching.transport.wire import MAX_BATCH_COMMANDS

_NOT_IN_ORDER = 1
_COULD_NOT_RUN = 2


class Command(ProjectCommand):
    help = "Send the commands of a JSON Lines file to a running engine and wait for every answer."

    def add_arguments(self, parser: CommandParser) -> None:
        batch = whole_number(1, MAX_BATCH_COMMANDS)
        parser.add_argument(
            "file", type=Path, metavar="COMMANDS.jsonl", help="file with one command per line; -: standard input"
        )
        parser.add_argument("--batch", type=batch, default=500, help=f"commands per message, 1 to {MAX_BATCH_COMMANDS}")
        parser.add_argument(
            "--rate", type=per_second, metavar="PER_SECOND", help="commands per second; default: no limit"
        )
        parser.add_argument(
            "--timeout", type=seconds, default=30.0, metavar="SECONDS", help="wait this long for each answer"
        )
        parser.add_argument(
            "--address", default=engine_addresses.addresses(), help="command addresses, separated by commas"
        )
        parser.add_argument(
            "--key", type=key_name, default=LOCAL_KEY, metavar="ROLE-NAME", help="key in DATA_DIR/keys to use"
        )
        parser.add_argument("--resume", action="store_true", help="continue where an earlier run of this file stopped")
        parser.add_argument(
            "--refused", type=Path, metavar="FILE", help="write all refused commands to this JSON Lines file"
        )
        parser.add_argument("--strict", action="store_true", help="exit 1 if a command was refused")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self, *, file: Path, resume: bool, refused: Path | None, strict: bool, as_json: bool, **options: Any
    ) -> None:
        chosen = Choices(file, resume, refused, as_json, journals=Path(settings.DATA_DIR) / "submissions")
        try:
            lines, bar = lines_of(file), progress.bar(file.name, "commands")
            with ExitStack() as opened:
                opened.enter_context(bar)
                journal = opened.enter_context(kept_journal(chosen, self.stderr.write))
                report = opened.enter_context(closing(Report(chosen, journal, bar, self.stderr.write)))
                submission = Submission(report.add, journal)
                commands = numbered_commands(lines, bar.update)
                failure = send(commands, submission, **options)
        except MatchingError as error:
            raise CommandError(str(error), returncode=_COULD_NOT_RUN) from error
        if failure is None and strict and submission.rejected:
            failure = CommandError(f"{submission.rejected} commands were refused.", returncode=_NOT_IN_ORDER)
        if failure is None or failure.returncode != _COULD_NOT_RUN or submission.sent:
            self.stdout.write(json.dumps(report.document(submission)))
        if failure is not None:
            raise failure


def send(
    commands: Iterator[tuple[int, object]],
    submission: Submission,
    *,
    address: str,
    key: KeyName,
    batch: int,
    rate: float | None,
    timeout: float,
    **others: Any,
) -> CommandError | None:
    """Sends the commands; returns the error, or None if every command was answered."""
    try:
        with (
            stoppable(lambda: so_far(submission)),
            closing(
                Connection(
                    address,
                    make_network=network_of(key),
                    timeout_s=timeout,
                    client_id=submission.client_id,
                    first_number=submission.position.number + 1,
                )
            ) as connection,
        ):
            submit(connection, commands, submission, batch_commands=batch, rate=rate)
    except CommandError as stopped:
        return stopped
    except (NoAnswer, EngineRefused) as error:
        return CommandError(f"{error} Until then {so_far(submission)}.", returncode=_NOT_IN_ORDER)
    except EngineUnreachable as error:
        return CommandError(engine_addresses.unreachable_text(error, address, newest_epoch), returncode=_COULD_NOT_RUN)
    except MatchingError as error:
        return CommandError(str(error), returncode=_COULD_NOT_RUN)
    return None

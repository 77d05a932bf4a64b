import json
from typing import Any

from django.core.management import CommandError, CommandParser

from exchange_site.configuration import folders
from settlement import wiring
from settlement.commandline import CHECK_FAILED, ExchangeCommand
from settlement.maintenance import doctor_text
from settlement.maintenance.diagnosis import diagnose
from settlement.maintenance.inspection import look


class Command(ExchangeCommand):
    help = (
        "Examine DATA_DIR, store, spill, write-ahead log, snapshots, trail and keys, and print each problem and the "
        "command that fixes it. Changes nothing; the exchange may be running or stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        examination = diagnose(look(wiring.site(access_of_others)))
        text = json.dumps(examination.form()) if as_json else "\n".join(doctor_text.lines_of(examination))
        self.stdout.write(text)
        if not examination.ok:
            codes = ", ".join(dict.fromkeys(finding.code for finding in examination.findings))
            raise CommandError(f"Not in order: {codes}.", returncode=CHECK_FAILED)


def access_of_others() -> tuple[str, str] | None:
    """The sentence about DATA_DIR and the command, None if it is this account's alone."""
    problem = folders.problem_of(wiring.data_dir())
    return problem and (problem.text, problem.command)

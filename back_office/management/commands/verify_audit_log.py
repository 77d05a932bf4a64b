import argparse
import json
import re
from typing import Any

from django.core.management import CommandError, CommandParser
from django.db import Error as DatabaseError

from back_office.audit.verification import Noted, Report, verify
from settlement.commandline import CHECK_FAILED, COULD_NOT_RUN, ExchangeCommand

_NOTED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)


class Command(ExchangeCommand):
    help = "Check the audit log: every record, their order, and the end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--noted",
            action="append",
            default=[],
            type=_noted,
            metavar="NUMBER:DIGEST",
            help="number and digest of a record that were noted outside the database; can be given several times",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, noted: list[Noted], as_json: bool, **options: Any) -> None:
        try:
            report = verify(noted)
        except DatabaseError as error:
            raise CommandError(f"The audit log cannot be read: {error}", returncode=COULD_NOT_RUN) from error
        self.stdout.write(json.dumps(_form(report)) if as_json else _text(report))
        if not report.ok:
            found = f"{report.finding_count} finding{'' if report.finding_count == 1 else 's'}"
            raise CommandError(f"The audit log was changed: {found}.", returncode=CHECK_FAILED)


def _noted(text: str) -> Noted:
    match = _NOTED.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"not a number, a colon and a digest of 64 hexadecimal digits: {text!r}")
    return Noted(int(match[1]), match[2])


def _form(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "records": report.records,
        "head": report.head._asdict(),
        "finding_count": report.finding_count,
        "findings": report.findings,
    }


def _text(report: Report) -> str:
    found = "\n".join(report.findings)
    if report.finding_count > len(report.findings):
        found += f"\nand {report.finding_count - len(report.findings)} more findings"
    checked = f"{report.records} records were checked. The last one is {report.head.number}:{report.head.digest}"
    return f"{found}\n{checked}" if found else checked

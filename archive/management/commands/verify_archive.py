import json
from datetime import date
from typing import Any

from django.core.management import CommandError, CommandParser
from django.core.management.base import OutputWrapper

from archive import wiring as archive_wiring
from archive.commandline import day_option
from archive.verification import Report, verify
from matching.commandline import progress
from matching.core.engine import Engine
from settlement import wiring
from settlement.commandline import CHECK_FAILED, ExchangeCommand


class Command(ExchangeCommand):
    help = "Execute the archived blocks again, and compare files, rows and sums with the result and with the store."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", type=day_option, dest="first_day", metavar="DAY", help="compare from this day on")
        parser.add_argument("--to", type=day_option, dest="last_day", metavar="DAY", help="compare up to this day")
        parser.add_argument(
            "--restore-hidden",
            action="store_true",
            help="first remove the delete markers that hide files in the bucket",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self, *, first_day: date | None, last_day: date | None, restore_hidden: bool, as_json: bool, **options: Any
    ) -> None:
        wiring.collect_garbage_rarely()
        restored = archive_wiring.restore_hidden() if restore_hidden else []
        archive, store = archive_wiring.archive(is_made=True), wiring.store()
        wiring.refuse_missing_database()
        with progress.blocks("verifying") as reach:

            def note(block: int, last: int) -> None:
                reach(block, last)
                self.so_far = f"blocks up to {block} of {last} were checked"

            report = verify(archive, store, Engine(), first_day=first_day, last_day=last_day, progress=note)
        if as_json:
            self.stdout.write(
                json.dumps({**report.form(), "protection": archive.protection, "restored": restored}, default=str)
            )
        else:
            for name in restored:
                self.stdout.write(f"Restored {name}, which a delete had hidden.")
            if archive.protection:
                self.stdout.write(archive.protection)
            write(report, self.stdout)
        if not report.ok:
            found = f"{report.difference_count} differences were found."
            raise CommandError(f"The archive is not what was settled: {found}", returncode=CHECK_FAILED)


def write(report: Report, stdout: OutputWrapper) -> None:
    for difference in report.differences:
        stdout.write(str(difference))
    if report.difference_count > len(report.differences):
        stdout.write(f"… and {report.difference_count - len(report.differences)} more.")
    if report.first_day is None:
        stdout.write("No differences: the archive is empty.")
        return
    if report.not_executed:
        stdout.write(f"Blocks 1 to {report.not_executed} have an earlier record layout and were not executed again.")
    verdict = "No differences" if report.ok else "DIFFERENCES FOUND"
    rows = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.rows.items())
    stdout.write(
        f"{verdict}: {report.first_day} to {report.last_day}, {rows}; the store has {report.compared_with_store} of "
        f"the blocks; state hash {report.state_hash}."
    )

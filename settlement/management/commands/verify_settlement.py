import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline import progress
from matching.core.engine import Engine
from settlement import wiring
from settlement.audit import report_text, verify
from settlement.commandline import NOT_IN_ORDER, ExchangeCommand


class Command(ExchangeCommand):
    help = "Check the block chain, execute it again, and compare everything in the store with what it gives."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-block", type=int, metavar="N", help="compare from this block on")
        parser.add_argument("--to-block", type=int, metavar="N", help="compare up to this block")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, from_block: int | None, to_block: int | None, as_json: bool, **options: Any) -> None:
        wiring.collect_garbage_rarely()
        with progress.blocks("verifying") as reach:
            report = verify.verify(wiring.store(), wiring.data_dir(), Engine(), from_block, to_block, reach)
        if as_json:
            self.stdout.write(json.dumps(report.form(), default=str))
        else:
            report_text.write_verification(report, self.stdout)
        if not report.ok:
            found = f"{report.difference_count} differences were found."
            raise CommandError(f"The store is not what its blocks give: {found}", returncode=NOT_IN_ORDER)

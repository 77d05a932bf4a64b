import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline.number_options import seconds
from settlement import wiring
from settlement.audit import reconciliation, report_text
from settlement.commandline import CHECK_FAILED, ExchangeCommand


class Command(ExchangeCommand):
    help = "Compare the engine's live balances and open orders with the store's, at one block."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--address", help="command addresses separated by commas; default: from settings and store")
        parser.add_argument(
            "--deadline",
            type=seconds,
            default=30.0,
            metavar="SECONDS",
            help="maximum wait for the engine, and for the store",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, address: str | None, deadline: float, as_json: bool, **options: Any) -> None:
        self.so_far = "nothing was compared"
        report = reconciliation.run(address or wiring.engines(), wiring.store, deadline, "command")
        if as_json:
            self.stdout.write(json.dumps(report.form()))
        else:
            report_text.write_reconciliation(report, self.stdout)
        if not report.ok:
            found = f"{report.difference_count} differences were found."
            raise CommandError(f"The store differs from the engine's state: {found}", returncode=CHECK_FAILED)

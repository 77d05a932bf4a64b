import json
from dataclasses import asdict
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks.pages import page_times
from benchmarks.pages.addresses import addresses
from matching.commandline import progress
from matching.commandline.number_options import whole_number
from settlement import wiring
from settlement.commandline import CHECK_FAILED, ExchangeCommand


class Command(ExchangeCommand):
    help = (
        "Measure every page of the back office on the store of SETTLEMENT_STORE, with Django's test client; exit 1 if"
        " the median of a page is over the limit. The overview waits for an engine, so let one run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rounds", type=whole_number(1, 1000), default=7, metavar="N", help="for each page")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, rounds: int, as_json: bool, **options: Any) -> None:
        wiring.refuse_missing_database()
        store = wiring.store()
        store.connect()
        wanted = addresses(store)
        with progress.bar("asking for pages", "requests", total=rounds * len(wanted)) as shown:
            found = page_times.measure(wanted, rounds=rounds, progress=shown.update)
        form = [{**asdict(one), "is_slow": one.is_slow} for one in found]
        self.stdout.write(json.dumps(form) if as_json else page_times.text(found))
        if slow := sum(one.is_slow for one in found):
            raise CommandError(f"{slow} of {len(found)} addresses are slow.", returncode=CHECK_FAILED)

import json
from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management import CommandError, CommandParser

from analytics import catalog, wiring
from analytics.period import Period
from archive.commandline import day_option
from benchmarks.pages import query_times
from matching.commandline import progress
from matching.commandline.number_options import whole_number
from settlement import wiring as settlement_wiring
from settlement.commandline import CHECK_FAILED, ExchangeCommand


class Command(ExchangeCommand):
    help = (
        "Measure every named query of analytics over the archive and the store of SETTLEMENT_STORE; exit 1 if the"
        " median of a query is over the limit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", type=day_option, dest="first", metavar="DAY", help="first UTC day")
        parser.add_argument("--to", type=day_option, dest="last", metavar="DAY", help="last UTC day")
        parser.add_argument("--account", type=whole_number(0), default=1, metavar="N", help="whose profit is asked for")
        parser.add_argument("--rounds", type=whole_number(1, 1000), default=5, metavar="N", help="for each query")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self, *, first: date | None, last: date | None, account: int, rounds: int, as_json: bool, **options: Any
    ) -> None:
        settlement_wiring.refuse_missing_database()
        store = settlement_wiring.store()
        store.connect()
        period, total = Period.between(first, last), len(catalog.named_queries()) * (rounds + 1)
        with progress.bar("asking queries", "answers", total=total) as shown:
            found = query_times.measure(wiring.embedded(store), period, account, rounds=rounds, progress=shown.update)
        form = [{**asdict(one), "is_slow": one.is_slow} for one in found]
        self.stdout.write(json.dumps(form) if as_json else query_times.text(found))
        if slow := sum(one.is_slow for one in found):
            raise CommandError(f"{slow} of {len(found)} queries are slow.", returncode=CHECK_FAILED)

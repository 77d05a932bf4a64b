import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline.number_options import whole_number
from settlement import lookups, wiring
from settlement.commandline import CHECK_FAILED, ExchangeCommand


class Command(ExchangeCommand):
    help = "Show one settled trade."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("trade_id", type=whole_number(0), metavar="TRADE_ID", help="the trade's event sequence")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, trade_id: int, as_json: bool, **options: Any) -> str:
        store = wiring.store()
        trade = store.get_trade_by_id(trade_id)
        if trade is None:
            raise CommandError(f"There is no settled trade {trade_id}.", returncode=CHECK_FAILED)
        registry = lookups.registry_of(store.definitions())
        return json.dumps(lookups.trade_form(trade, registry)) if as_json else lookups.trade_text(trade, registry)

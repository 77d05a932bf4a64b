import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline.number_options import whole_number
from settlement import lookups, wiring
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = "List settled trades of a range of event sequences, oldest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from-sequence", type=whole_number(0), required=True, metavar="A", help="first event sequence"
        )
        parser.add_argument(
            "--to-sequence", type=whole_number(0), required=True, metavar="B", help="last one, included"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document, a list")

    def handle(self, *, from_sequence: int, to_sequence: int, as_json: bool, **options: Any) -> None:
        try:
            lookups.refuse_reversed(from_sequence, to_sequence)
        except lookups.ReversedRange as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        store = wiring.store()
        registry = lookups.registry_of(store.definitions())
        separator = "["
        for listed, trade in enumerate(lookups.trades_between(store, from_sequence, to_sequence), 1):
            self.so_far = f"{listed} trades were listed"
            if as_json:
                self.stdout.write(separator + json.dumps(lookups.trade_form(trade, registry)), ending="")
                separator = ",\n "
            else:
                self.stdout.write(lookups.trade_text(trade, registry))
        if as_json:
            self.stdout.write("[]" if separator == "[" else "]")

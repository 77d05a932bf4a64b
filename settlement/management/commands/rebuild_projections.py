import json
from typing import Any

from django.core.management import CommandParser

from matching.commandline import progress
from matching.commandline.interruption import stop_on_signals
from settlement import lock, wiring
from settlement.clock import SystemClock
from settlement.commandline import ExchangeCommand
from settlement.project import rebuilding


class Command(ExchangeCommand):
    help = "Drop trades, orders, ledger entries and balances, and make them again from the blocks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-block", type=int, default=1, metavar="N", help="keep what earlier blocks have set")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, from_block: int, as_json: bool, **options: Any) -> str:
        store, stop = wiring.store(), stop_on_signals().is_set
        wiring.collect_garbage_rarely()
        with lock.exclusive(wiring.data_dir()), progress.blocks("rebuilding") as reach:
            trail, letters = wiring.trail(), wiring.dead_letters(store)
            clock, choices = SystemClock(), wiring.options()
            projected = rebuilding.rebuild(store, trail, letters, clock, stop, choices, from_block, reach)
        appended = store.appended().block_number
        if as_json:
            return json.dumps({"from_block": from_block, "projected": projected, "appended": appended})
        return f"Projected blocks {from_block} to {projected} of {appended}."

import json
from typing import Any

from django.core.management import CommandParser

from benchmarks.pages import large_store
from matching.commandline import progress
from matching.commandline.number_options import command_count, seed_number, whole_number
from settlement import lock, wiring
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = (
        "Fill the empty store of SETTLEMENT_STORE with many trades, made by the engine and projected as settlement does"
        " it: to measure pages and queries, never for a store that is used."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--trades", type=command_count, default=1_000_000, metavar="N")
        parser.add_argument(
            "--days", type=whole_number(1), metavar="N", help="about how many days of block time the trades span"
        )
        parser.add_argument("--seed", type=seed_number, default=1)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, trades: int, days: int | None, seed: int, as_json: bool, **options: Any) -> str:
        wiring.refuse_lost_database()
        wiring.data_dir().mkdir(parents=True, exist_ok=True)
        wiring.collect_garbage_rarely()
        store = wiring.store()
        with lock.exclusive(wiring.data_dir()):
            store.init()
            with wiring.store_lock(), progress.bar("projecting", "trades", total=trades) as shown:
                made = large_store.fill(store, trades, seed=seed, progress=shown.update, days=days)
        if as_json:
            return json.dumps({"trades": made.trades, "commands": made.commands, "blocks": made.blocks})
        return f"The store has {made.trades:,} trades of {made.commands:,} commands in {made.blocks:,} blocks."

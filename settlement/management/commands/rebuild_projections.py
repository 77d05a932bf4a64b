import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline import progress
from matching.commandline.interruption import exit_code, sentence, stop_on_signals
from matching.commandline.number_options import whole_number
from settlement import lock, wiring
from settlement.clock import SystemClock
from settlement.commandline import ExchangeCommand, refuse_dead_letters
from settlement.project import rebuilding

_CONTINUATION = "settlement, or this command again, continues with the rest"


class Command(ExchangeCommand):
    help = "Drop trades, orders, ledger entries, balances and candles, and rebuild them from the blocks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from-block",
            type=whole_number(1),
            default=1,
            metavar="N",
            help="first block to rebuild; earlier rows are kept",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, from_block: int, as_json: bool, **options: Any) -> None:
        store, stop = wiring.store(), stop_on_signals()
        wiring.collect_garbage_rarely()
        store.connect()
        with lock.exclusive(wiring.data_dir()), wiring.store_lock(), progress.blocks("rebuilding") as reach:
            trail, letters = wiring.trail(), wiring.dead_letters(store)
            clock, choices = SystemClock(), wiring.options()
            try:
                projected = rebuilding.rebuild(
                    store,
                    trail=trail,
                    letters=letters,
                    clock=clock,
                    stop=stop.is_set,
                    options=choices,
                    from_block=from_block,
                    progress=reach,
                )
            except rebuilding.Stopped as error:
                raise CommandError(sentence(stop.number, _CONTINUATION), returncode=exit_code(stop.number)) from error
        appended, refused = store.appended().block_number, [letter.block_number for letter in store.dead_letters()]
        if as_json:
            form = {"from_block": from_block, "projected": projected, "appended": appended, "dead_letters": refused}
            self.stdout.write(json.dumps(form))
        else:
            self.stdout.write(f"Projected blocks {from_block} to {projected} of {appended}.")
        if stop.number and projected < appended:
            done = f"blocks up to {projected} of {appended} are projected; {_CONTINUATION}"
            raise CommandError(sentence(stop.number, done), returncode=exit_code(stop.number))
        refuse_dead_letters(store)

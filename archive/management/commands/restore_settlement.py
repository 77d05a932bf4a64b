import json
from typing import Any

from django.core.management import CommandError, CommandParser

from archive import wiring as archive_wiring
from archive.restoring import restore_blocks
from matching.commandline import progress
from matching.commandline.interruption import exit_code, sentence, stop_on_signals
from matching.core.engine import Engine
from settlement import lock, wiring
from settlement.clock import SystemClock
from settlement.commandline import ExchangeCommand, refuse_dead_letters
from settlement.project import rebuilding

_CONTINUATION = "the same command continues"


class Command(ExchangeCommand):
    help = "Give an empty store the archived blocks, and project them. Settlement must not run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from-archive", action="store_true", required=True, help="restore from the archive of these settings"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        self.so_far = f"the blocks added so far are complete; {_CONTINUATION}"
        wiring.collect_garbage_rarely()
        store, archive = wiring.store(), archive_wiring.archive(is_made=True)
        with lock.exclusive(wiring.data_dir()), wiring.store_lock():
            store.init()
            with progress.blocks("restoring") as reach:
                done = restore_blocks(archive, store, Engine(), reach)
            projected = self._project()
        if as_json:
            self.stdout.write(json.dumps({"first_block": done.first, "last_block": done.last, "projected": projected}))
        elif done.last < done.first:
            self.stdout.write(f"The store has all archived blocks; its rows are projected to block {projected}.")
        else:
            self.stdout.write(f"Added blocks {done.first} to {done.last}; the rows are projected to block {projected}.")
        refuse_dead_letters(store)

    def _project(self) -> int:
        """Projects the blocks that have no rows yet; returns the last of them."""
        store, stop, trail = wiring.store(), stop_on_signals(), wiring.trail()
        try:
            with progress.blocks("projecting") as reach:
                projected = rebuilding.rebuild(
                    store,
                    trail=trail,
                    letters=wiring.dead_letters(store),
                    clock=SystemClock(),
                    stop=stop.is_set,
                    options=wiring.options(),
                    from_block=store.projected().block_number + 1,
                    progress=reach,
                )
        except rebuilding.Stopped as error:
            raise CommandError(sentence(stop.number, _CONTINUATION), returncode=exit_code(stop.number)) from error
        finally:
            trail.close()
        if stop.number:
            raise CommandError(sentence(stop.number, _CONTINUATION), returncode=exit_code(stop.number))
        return projected

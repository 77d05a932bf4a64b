import json
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from exchange_site.engine_host import wiring as engine_wiring
from matching.commandline import progress
from matching.commandline.interruption import exit_code, sentence, stop_on_signals
from matching.commandline.number_options import whole_number
from settlement import lock, wiring
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand, refuse_dead_letters
from settlement.errors import NotBuiltIn
from settlement.maintenance import quarantine
from settlement.maintenance.quarantine import Done, Plan
from settlement.project.rebuilding import Stopped

_CONTINUATION = "the same command continues"
_ROWS = "the blocks are taken out; settlement writes the remaining rows"


class Command(ExchangeCommand):
    help = (
        "Take block N and all after it out of the chain and keep them in DATA_DIR/quarantine, because another engine "
        "made them; other blocks of spill and write-ahead log take their place. Engine and settlement must not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=whole_number(1), metavar="N", help="the first block that is wrong")
        parser.add_argument("--yes", action="store_true", help="do it; without this option only the plan is shown")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, number: int, yes: bool, as_json: bool, **options: Any) -> None:
        if settings.INPUT_LOG == "kafka":
            raise NotBuiltIn("With INPUT_LOG=kafka the topic decides which blocks there are: none can be taken out.")
        self.so_far = f"nothing is lost; {_CONTINUATION}"
        stop, store = stop_on_signals(), wiring.store()
        wiring.collect_garbage_rarely()
        store.connect()
        with lock.exclusive(wiring.data_dir()), wiring.store_lock(), engine_wiring.no_engine(store):
            place = wiring.place(store, engine_wiring.leader())
            plan = quarantine.plan(place, number)
            if not yes:
                raise CommandError(f"{_intention(plan)} Add --yes to do it.", returncode=COULD_NOT_RUN)
            try:
                with progress.blocks("taking blocks out") as reach:
                    done = quarantine.quarantine(place, plan, stop.is_set, reach)
            except Stopped as error:
                raise CommandError(sentence(stop.number, _ROWS), returncode=exit_code(stop.number)) from error
        self.stdout.write(json.dumps(_form(done)) if as_json else _outcome(done))
        if stop.number:
            raise CommandError(sentence(stop.number, _ROWS), returncode=exit_code(stop.number))
        refuse_dead_letters(store)


def _intention(plan: Plan) -> str:
    replaced = f", and blocks {plan.first} to {plan.end} of the logs here take their place" if _is_longer(plan) else ""
    return (
        f"Blocks {plan.first} to {plan.last} of the store are taken out of the chain and kept in "
        f"{wiring.data_dir() / 'quarantine'}{replaced}. Epoch {plan.epoch.number} then begins with block "
        f"{plan.end + 1}."
    )


def _outcome(done: Done) -> str:
    plan = done.plan
    replaced = f" Blocks {plan.first} to {plan.end} of the logs here took their place." if _is_longer(plan) else ""
    moved = ""
    if done.set_aside:
        moved = f" Files of {', '.join(done.set_aside)} that hold these blocks, or states after them, are there, too."
    return (
        f"Blocks {plan.first} to {plan.last} are no longer part of the chain and are kept in {done.folder}.{replaced}"
        f"{moved} Epoch {plan.epoch.number} begins with block {plan.end + 1}: start the engine, then settlement."
    )


def _is_longer(plan: Plan) -> bool:
    return plan.end >= plan.first


def _form(done: Done) -> dict[str, Any]:
    plan = done.plan
    return {
        "first_block": plan.first,
        "last_block": plan.last,
        "replaced_to": plan.end if _is_longer(plan) else None,
        "epoch": plan.epoch.number,
        "folder": str(done.folder),
        "set_aside": done.set_aside,
        "projected": done.projected,
    }

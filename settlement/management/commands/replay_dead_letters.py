import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline.number_options import whole_number
from settlement import wiring
from settlement.commandline import CHECK_FAILED, COULD_NOT_RUN, ExchangeCommand
from settlement.stores.base import DeadLetter, Store


class Command(ExchangeCommand):
    help = "Write the rows of dead letters: blocks whose projection the store rejected."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--id", type=whole_number(0), metavar="N", help="one dead letter: the number of its block")
        which.add_argument("--all", action="store_true", help="all unresolved dead letters")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, id: int | None, as_json: bool, **options: Any) -> None:
        store = wiring.store()
        letters = wiring.dead_letters(store)
        chosen = letters.unresolved() if id is None else [self._letter(store, id)]
        replayed, refused = 0, dict[int, str]()
        try:
            for letter in chosen:
                if error := letters.replay(letter):
                    refused[letter.id] = error
                else:
                    replayed += 1
        finally:  # also before an error that ends the loop
            if as_json:
                self.stdout.write(json.dumps({"replayed": replayed, "refused": refused}))
            else:
                self.stdout.write(f"{replayed} of {len(chosen)} dead letters were replayed.")
        if refused:
            which = ", ".join(map(str, refused))
            raise CommandError(f"The store rejected the rows of blocks {which} again.", returncode=CHECK_FAILED)

    def _letter(self, store: Store, id: int) -> DeadLetter:
        letter = store.get_dead_letter(id)
        if letter is None:
            raise CommandError(f"There is no dead letter {id}.", returncode=COULD_NOT_RUN)
        return letter

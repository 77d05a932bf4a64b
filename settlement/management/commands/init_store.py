from typing import Any

from matching.storage.disk import make_folder
from settlement import wiring
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = "Create the store's tables and identity, or update the tables. Can be run again."

    def handle(self, **options: Any) -> str:
        make_folder(wiring.data_dir())
        self.so_far = "some tables may exist; run this command again"
        store = wiring.store()
        store.init()
        store.ping()
        store.identity()
        store.carry_over()
        return "The store's tables exist."

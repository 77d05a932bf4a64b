import json
from contextlib import closing
from typing import Any

from django.core.management import CommandParser

from exchange_site.engine_host import wiring as engine_wiring
from matching.commandline import progress
from matching.core.layout import LAYOUT_VERSION
from settlement import lock, wiring
from settlement.commandline import ExchangeCommand
from settlement.maintenance.layout_migration import Migrated, migrate


class Command(ExchangeCommand):
    help = (
        f"Carry store, write-ahead log and snapshots over to record layout {LAYOUT_VERSION}, that of this program. "
        "Engine and settlement must not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        self.so_far = "nothing is lost; run this command again"
        wiring.refuse_lost_database()
        store = wiring.store()
        wiring.collect_garbage_rarely()
        with (
            lock.exclusive(wiring.data_dir()),
            closing(engine_wiring.lock_data_folder()),
            wiring.store_lock(),
            progress.blocks("migrating") as reach,
        ):
            store.init()
            folders = [wiring.snapshots(), engine_wiring.snapshots()]
            done = migrate(store, wiring.data_dir(), folders, engine_wiring.leader(), reach)
        self._report(done, as_json)

    def _report(self, done: Migrated, as_json: bool) -> None:
        if as_json:
            form = {**done._asdict(), "layout_version": LAYOUT_VERSION, "written": [str(one) for one in done.written]}
            self.stdout.write(json.dumps(form))
            return
        if done.filled:
            self.stdout.write(f"Added {done.filled} blocks from spill and write-ahead log to the store.")
        if done.begun:
            self.stdout.write(f"Layout {LAYOUT_VERSION} begins with block {done.block}.")
        else:
            self.stdout.write(f"The store's last block, {done.block}, has layout {LAYOUT_VERSION} already.")
        for folder in done.written:
            self.stdout.write(f"Wrote a snapshot of block {done.block} to {folder}.")

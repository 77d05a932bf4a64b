import json
import time
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from exchange_site.engine_host import wiring as engine_wiring
from matching.commandline import progress
from matching.commandline.interruption import exit_code, sentence, stop_on_signals
from settlement import lock, wiring
from settlement.audit import report_text
from settlement.commandline import CHECK_FAILED, ExchangeCommand, refuse_dead_letters
from settlement.maintenance import backup, unpacking
from settlement.maintenance.restoring import Restored, restore
from settlement.project.rebuilding import Stopped

_CONTINUATION = "the same command continues"


class Command(ExchangeCommand):
    help = (
        "Give the store the blocks that it lacks and that a backup, spill and write-ahead log hold, project them and "
        "verify everything. Settlement must not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "folder",
            nargs="?",
            type=Path,
            metavar="BACKUP",
            help="a folder that backup has written",
        )
        parser.add_argument(
            "--from-engine",
            action="append",
            default=[],
            metavar="ADDRESS",
            help="also take the blocks that this leader or follower holds; repeat for several",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, folder: Path | None, from_engine: list[str], as_json: bool, **options: Any) -> None:
        self.so_far = f"the blocks added so far are complete; {_CONTINUATION}"
        stop, store = stop_on_signals(), wiring.store()
        wiring.collect_garbage_rarely()
        manifest = backup.read(folder) if folder else None
        with lock.exclusive(wiring.data_dir()), wiring.store_lock(), progress.blocks("restoring") as reach:
            store.init()  # also a database that is lost
            if folder and manifest:
                unpacking.refuse_other_content(store, manifest, folder)
                unpacking.copy_files(folder, wiring.data_dir())
            try:
                done = restore(
                    wiring.place(store, engine_wiring.leader()),
                    stop.is_set,
                    beside=[*([backup.source_of(folder)] if folder else []), *wiring.rings(from_engine)],
                    recorded=manifest.epochs if manifest else (),
                    progress=reach,
                )
            except Stopped as error:
                raise CommandError(sentence(stop.number, _CONTINUATION), returncode=exit_code(stop.number)) from error
            if folder:
                unpacking.add_records(folder, store, time.time_ns())
        self._report(done, as_json)
        if stop.number:
            raise CommandError(sentence(stop.number, _CONTINUATION), returncode=exit_code(stop.number))
        refuse_dead_letters(store)
        if not done.verified.ok:
            raise CommandError("The store's rows differ from its blocks.", returncode=CHECK_FAILED)

    def _report(self, done: Restored, as_json: bool) -> None:
        filled = done.filled
        if as_json:
            added = {"first_block": filled.first, "last_block": filled.last, "epochs": filled.epochs}
            form = {**added, "projected": done.projected, "verified": done.verified.form()}
            self.stdout.write(json.dumps(form, default=str))
            return
        if filled.last < filled.first:
            self.stdout.write(f"No file here holds blocks after {filled.last}, the store's last one.")
        else:
            epochs = f" and epochs {', '.join(map(str, filled.epochs))}" if filled.epochs else ""
            self.stdout.write(f"Added blocks {filled.first} to {filled.last}{epochs} to the store.")
        report_text.write_verification(done.verified, self.stdout)

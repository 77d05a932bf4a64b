import json
import time
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from exchange_site.configuration import folders
from matching.commandline import progress
from matching.core.hashes import hash_text
from settlement import wiring
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand
from settlement.maintenance import backup, operators
from settlement.stores.sql import read_only


class Command(ExchangeCommand):
    help = (
        "Write blocks, epochs, keys, operators' accounts and dead letters to a new folder, then check it. The exchange "
        "may be running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new or empty folder")
        parser.add_argument(
            "--with-root-key",
            action="store_true",
            help="also copy root.key, with which anyone can register keys; keep such a backup offline",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, folder: Path, with_root_key: bool, as_json: bool, **options: Any) -> str:
        self.so_far = f"{folder} is incomplete and cannot be restored"
        refuse_access_of_others(wiring.data_dir())
        wiring.refuse_missing_database()
        with progress.blocks("backing up") as reach, wiring.store_to_read() as store:
            store.ping()
            made = backup.write(
                folder.absolute(),
                store=store,
                data_dir=wiring.data_dir(),
                accounts=operators.dump(read_only.alias_of()),
                with_root_key=with_root_key,
                time_ns=time.time_ns(),
                progress=reach,
            )
        if as_json:
            return json.dumps({"block": made.block, "hash": hash_text(made.hash), "files": len(made.files)})
        return f"Backup {folder}: blocks 1 to {made.block} in {len(made.files)} files, hash {hash_text(made.hash)}."


def refuse_access_of_others(data_dir: Path) -> None:
    """As the system check of DATA_DIR does, which would also create the folder. Raises CommandError."""
    problem = folders.problem_of(data_dir) if data_dir.is_dir() else None
    if problem:
        raise CommandError(f"{problem.text} {problem.advice}: {problem.command}", returncode=COULD_NOT_RUN)

import json
from datetime import date
from typing import Any

from django.core.management import CommandParser

from archive import wiring as archive_wiring
from archive.archiving import Archived, archive_days
from archive.commandline import day_option
from matching.commandline import progress
from settlement import wiring
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = "Write the blocks and rows of complete UTC days to the archive; a day is archived once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--through", type=day_option, metavar="DAY", help="last day to archive; default: the last complete one"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, through: date | None, as_json: bool, **options: Any) -> None:
        self.so_far = "complete tables are kept; the same command continues"
        wiring.collect_garbage_rarely()
        store = wiring.store()
        with archive_wiring.exclusive(), progress.blocks("archiving") as reach:
            archive = archive_wiring.archive()
            if archive.protection and not as_json:
                self.stdout.write(archive.protection)
            done = archive_days(store, archive, through=through, progress=reach)
        if as_json:
            self.stdout.write(json.dumps(_form(done, archive.protection)))
            return
        self.stdout.write(_sentence(done))


def _form(done: Archived, protection: str) -> dict[str, Any]:
    last = done.last
    return {
        "days": [day.isoformat() for day in done.days],
        "blocks": done.blocks,
        "rows": done.rows,
        "archived_through": last and last.partition.day.isoformat(),
        "last_block": last and last.last.number,
        "digest": last and last.digest,
        "protection": protection,
    }


def _sentence(done: Archived) -> str:
    if done.last is None:
        return "Nothing to archive: no day is complete."
    reached = f"the archive reaches {done.last.partition.day}, block {done.last.last.number}, {done.last.digest}."
    if not done.days:
        return f"Nothing to archive: {reached}"
    count = len(done.days)
    return f"Archived {count} {'day' if count == 1 else 'days'}, {done.blocks} blocks, {done.rows} rows; {reached}"

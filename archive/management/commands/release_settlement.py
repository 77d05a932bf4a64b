import json
from datetime import date
from typing import Any

from django.core.management import CommandParser

from archive import wiring as archive_wiring
from archive.commandline import day_option, days_option
from archive.releasing import Released, days_older_than, refuse_unarchived, release_days
from matching.commandline import progress
from matching.core.engine import Engine
from settlement import wiring
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = (
        "Verify archived days against the store, then delete their rows there; lookups read the archive from then on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--older-than",
            type=days_option,
            metavar="DAYS",
            help="release the days that are more than so many days before the newest block",
        )
        which.add_argument("--through", type=day_option, metavar="DAY", help="last day to release")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, older_than: int | None, through: date | None, as_json: bool, **options: Any) -> None:
        self.so_far = "nothing is lost; the same command continues"
        wiring.collect_garbage_rarely()
        wiring.refuse_missing_database()
        store = wiring.hot_store()
        with archive_wiring.exclusive(), progress.blocks("verifying") as reach:
            archive = archive_wiring.archive(is_made=True)
            if through is not None:
                refuse_unarchived(archive, through)
            elif older_than is not None:
                through = days_older_than(store, older_than)
            done = release_days(store, archive, Engine(), through=through, progress=reach)
        self.stdout.write(json.dumps(_form(done)) if as_json else _sentence(done))


def _form(done: Released) -> dict[str, Any]:
    return {
        "days": [day.isoformat() for day in done.days],
        "blocks": done.blocks,
        "rows": done.rows,
        "released_through_block": done.through.block_number,
    }


def _sentence(done: Released) -> str:
    if not done.through.block_number:
        return "Nothing to release: the archive has no such day."
    through = f"blocks up to {done.through.block_number} are in the archive alone"
    if not done.days and not done.rows:
        return f"Nothing to release: {through}."
    days = f"{len(done.days)} {'day' if len(done.days) == 1 else 'days'}"
    return f"Released {days}, {done.blocks} blocks; deleted {done.rows} rows; {through}."

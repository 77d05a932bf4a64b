from datetime import date
from typing import Any, BinaryIO, cast

from django.core.management import CommandError, CommandParser

from analytics import catalog, results, wiring
from analytics.embedded import Answer
from analytics.period import Period
from archive.commandline import day_option
from matching.commandline.number_options import whole_number
from settlement import wiring as settlement_wiring
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = "Ask for figures about the market: a named query (--list), or a SELECT in StarRocks' dialect of SQL."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("query", nargs="?", metavar="NAME|SQL", help="a name of --list, or a SELECT")
        parser.add_argument("--list", action="store_true", dest="is_list", help="list the named queries")
        parser.add_argument("--from", type=day_option, dest="first", metavar="DAY", help="first UTC day")
        parser.add_argument("--to", type=day_option, dest="last", metavar="DAY", help="last UTC day")
        parser.add_argument("--by", choices=catalog.BUCKETS_NS, default=catalog.DEFAULT_BUCKET, help="size of a bucket")
        parser.add_argument("--account", type=whole_number(0), metavar="N", help="the account of account_profit")
        parser.add_argument("--format", choices=results.FORMATS, default="table", dest="form", help="default: table")

    def handle(
        self,
        *,
        query: str | None,
        is_list: bool,
        first: date | None,
        last: date | None,
        by: str,
        account: int | None,
        form: str,
        **options: Any,
    ) -> None:
        if is_list:
            for named in catalog.named_queries().values():
                self.stdout.write(f"{named.name:<22} {named.summary}")
            return
        if query is None:
            raise CommandError(
                "Give the name of a query or a SELECT; --list shows the names.", returncode=COULD_NOT_RUN
            )
        period = Period.between(first, last)
        tree = catalog.query(query, period, bucket=by, account=account)
        settlement_wiring.refuse_missing_database()
        store = settlement_wiring.store()
        with wiring.embedded(store).ask(tree, period) as answer:
            self._write(answer, form)
            if answer.rows.rejected_blocks:
                self.stderr.write(results.rejected_note(answer.rows.rejected_blocks))

    def _write(self, answer: Answer, form: str) -> None:
        if form in ("table", "json"):
            lines = results.table_lines if form == "table" else results.json_lines
            for line in lines(answer):
                self.stdout.write(line)
            return
        if form == "parquet" and self.stdout.isatty():
            raise CommandError("Parquet is no text: write it to a file, with > FILE.", returncode=COULD_NOT_RUN)
        write = results.write_csv if form == "csv" else results.write_parquet
        write(answer, cast(BinaryIO, self.stdout.buffer))

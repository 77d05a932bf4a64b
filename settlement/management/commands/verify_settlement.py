import json
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline import progress
from matching.commandline.number_options import whole_number
from matching.core.engine import Engine
from settlement import wiring
from settlement.audit import report_text, verify, waiting
from settlement.clock import SystemClock
from settlement.commandline import CHECK_FAILED, ExchangeCommand

_PROJECTION_TIMEOUT_S = 10.0
"""Time for durable blocks to be projected while settlement runs."""


class Command(ExchangeCommand):
    help = "Check the block chain, re-execute it, and compare everything in the store with the result."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-block", type=whole_number(1), metavar="N", help="compare from this block on")
        parser.add_argument("--to-block", type=whole_number(1), metavar="N", help="compare up to this block")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, from_block: int | None, to_block: int | None, as_json: bool, **options: Any) -> None:
        wiring.collect_garbage_rarely()
        store = wiring.store()
        durable = store.appended().block_number
        wanted = durable if to_block is None else min(to_block, durable)
        waiting.await_projection(store, wanted, SystemClock(), _PROJECTION_TIMEOUT_S)
        with progress.blocks("verifying") as reach:

            def note(block: int, last: int) -> None:
                reach(block, last)
                self.so_far = f"blocks up to {block} of {last} were checked"

            report = verify.verify(
                store, wiring.data_dir(), Engine(), from_block=from_block, to_block=to_block, progress=note
            )
        if as_json:
            self.stdout.write(json.dumps(report.form(), default=str))
        else:
            report_text.write_verification(report, self.stdout)
        if not report.ok:
            found = f"{report.difference_count} differences were found."
            raise CommandError(f"The store's rows differ from its blocks: {found}", returncode=CHECK_FAILED)
        if report.to_block < wanted:
            raise CommandError(
                f"Blocks {report.to_block + 1} to {wanted} are not projected and were not compared: let run_settlement "
                "project them, then verify again.",
                returncode=CHECK_FAILED,
            )

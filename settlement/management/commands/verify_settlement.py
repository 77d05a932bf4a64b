import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline import progress
from matching.commandline.number_options import whole_number
from matching.commandline.own_keys import key_folder
from matching.core.engine import Engine
from settlement import wiring
from settlement.audit import anchors, report_text, verify, waiting
from settlement.audit.signers import register_of_signers
from settlement.clock import SystemClock
from settlement.commandline import CHECK_FAILED, ExchangeCommand
from settlement.errors import SettlementError
from settlement.stores.base import Store, StoreError

_PROJECTION_TIMEOUT_S = 10.0
"""Time for durable blocks to be projected while settlement runs."""


class Command(ExchangeCommand):
    help = (
        "Check the block chain, re-execute it, and compare everything in the store with the result and with signed "
        "checkpoints."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-block", type=whole_number(1), metavar="N", help="compare from this block on")
        parser.add_argument("--to-block", type=whole_number(1), metavar="N", help="compare up to this block")
        parser.add_argument(
            "--anchor",
            action="append",
            default=[],
            dest="sources",
            metavar="FILE|URL",
            help="signed checkpoints that are kept outside the store; can be given several times",
        )
        parser.add_argument(
            "--root", type=Path, metavar="FILE", help="public root key of the exchange; default: DATA_DIR/keys/root.pub"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self,
        *,
        from_block: int | None,
        to_block: int | None,
        sources: list[str],
        root: Path | None,
        as_json: bool,
        **options: Any,
    ) -> None:
        wiring.collect_garbage_rarely()
        store = wiring.store()
        signed = compare_checkpoints(store, sources, root, to_block)
        difference = signed and signed.difference
        durable = store.appended().block_number
        wanted = durable if to_block is None else min(to_block, durable)
        try:
            report = self.compare_rows(store, from_block, to_block, wanted)
        except (SettlementError, StoreError) as error:
            if difference:
                raise CommandError(difference, returncode=CHECK_FAILED) from error
            raise
        if as_json:
            form = {**report.form(), "ok": report.ok and not difference, "checkpoints": signed and signed.form()}
            self.stdout.write(json.dumps(form, default=str))
        else:
            if signed:
                report_text.write_comparison(signed, self.stdout)
            report_text.write_verification(report, self.stdout)
        if difference:
            raise CommandError(difference, returncode=CHECK_FAILED)
        refuse_differences(report, wanted)

    def compare_rows(self, store: Store, from_block: int | None, to_block: int | None, wanted: int) -> verify.Report:
        """Waits until block `wanted` is projected, then verifies."""
        waiting.await_projection(store, wanted, SystemClock(), _PROJECTION_TIMEOUT_S)
        with progress.blocks("verifying") as reach:

            def note(block: int, last: int) -> None:
                reach(block, last)
                self.so_far = f"blocks up to {block} of {last} were checked"

            with wiring.reading_thread() as thread:
                return verify.verify(
                    store,
                    wiring.data_dir(),
                    Engine(),
                    from_block=from_block,
                    to_block=to_block,
                    progress=note,
                    thread=thread,
                )


def refuse_differences(report: verify.Report, wanted: int) -> None:
    """Raises CommandError if the rows differ, or if not all blocks up to `wanted` were compared."""
    if not report.ok:
        found = f"{report.difference_count} differences were found."
        raise CommandError(f"The store's rows differ from its blocks: {found}", returncode=CHECK_FAILED)
    if report.to_block < wanted:
        raise CommandError(
            f"Blocks {report.to_block + 1} to {wanted} are not projected and were not compared: let run_settlement "
            "project them, then verify again.",
            returncode=CHECK_FAILED,
        )


def compare_checkpoints(
    store: Store, sources: list[str], root: Path | None, to_block: int | None
) -> anchors.Comparison | None:
    """None if this exchange has no keys, so that nobody signs."""
    keys = key_folder()
    if not sources and root is None and not keys.root_public_path.exists():
        return None
    register = register_of_signers(store, keys, root)
    with progress.blocks("comparing checkpoints") as reach:
        return anchors.audit(store, register, sources, to_block, reach)

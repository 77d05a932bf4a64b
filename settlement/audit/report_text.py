"""Writes reports as text for a terminal."""

from collections.abc import Iterable

from django.core.management.base import OutputWrapper

from settlement.audit import anchors, reconciliation, verify
from settlement.audit.differences import Difference


def write_verification(report: verify.Report, stdout: OutputWrapper) -> None:
    _write_differences(report.differences, report.difference_count, stdout)
    if report.behind:
        stdout.write(f"Projection is behind: {report.behind} blocks are not projected yet and were not compared.")
    if report.not_executed:
        stdout.write(
            f"Blocks 1 to {report.not_executed} have an earlier record layout: their hashes, events and rows were "
            "compared, but their commands were not executed again."
        )
    verdict = _verdict(report.ok)
    if report.blocks == 0:
        stdout.write(f"{verdict}: no blocks.")
        return
    stdout.write(
        f"{verdict}: blocks {report.from_block} to {report.to_block}, {report.trades} trades, "
        f"state hash {report.state_hash}."
    )


def write_comparison(found: anchors.Comparison, stdout: OutputWrapper) -> None:
    if found.compared:
        stdout.write(f"Signed checkpoints: {found.compared} compared, the same up to block {found.last_block}.")
    elif not found.difference:
        stdout.write("Signed checkpoints: none to compare.")


def write_reconciliation(report: reconciliation.Report, stdout: OutputWrapper) -> None:
    _write_differences(report.differences, report.difference_count, stdout)
    if report.changed_since:
        stdout.write(f"{report.changed_since} orders have changed since and were not compared.")
    stdout.write(
        f"{_verdict(report.ok)}: block {report.block}, {report.balances} balances, "
        f"{report.open_orders} open orders, {report.account_settings} account settings, "
        f"state hash {report.state_hash}."
    )


def _verdict(ok: bool) -> str:
    return "No differences" if ok else "DIFFERENCES FOUND"


def _write_differences(differences: Iterable[Difference], count: int, stdout: OutputWrapper) -> None:
    shown = 0
    for difference in differences:
        stdout.write(str(difference))
        shown += 1
    if shown < count:
        stdout.write(f"… and {count - shown} more.")

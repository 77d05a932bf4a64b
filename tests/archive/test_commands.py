"""The archive's commands: what they print and how they end."""

import json
from pathlib import Path

import pytest

from archive import wiring
from settlement.stores.base import Store
from tests.settlement.commandline.conftest import ended, refused, run
from tests.settlement.conftest import empty

REPORT = "No differences: 2026-01-30 to 2026-01-31, 24 blocks, "


def test_a_day_is_archived_verified_and_restored(settled: Store, data_dir: Path) -> None:
    assert run("archive_settlement").startswith("Archived 2 days, 24 blocks, ")
    assert run("archive_settlement").startswith("Nothing to archive: the archive reaches 2026-01-31, block 24, ")
    assert run("verify_archive").startswith(REPORT)
    assert json.loads(run("verify_archive", "--from", "2026-01-31", "--json"))["days"] == 1

    empty(settled)
    assert run("restore_settlement", "--from-archive") == (
        "Added blocks 1 to 24; the rows are projected to block 24.\n"
    )
    assert run("restore_settlement", "--from-archive") == (
        "The store has all archived blocks; its rows are projected to block 24.\n"
    )
    assert json.loads(run("archive_settlement", "--json"))["days"] == []


def test_days_are_released_and_found_by_commands(settled: Store, data_dir: Path) -> None:
    run("archive_settlement")
    trades = run("list_trades", "--from-sequence", "1", "--to-sequence", "1000000")
    report = json.loads(run("release_settlement", "--through", "2026-01-30", "--json"))
    assert (report["days"], report["blocks"], report["released_through_block"]) == (["2026-01-30"], 12, 12)
    assert run("list_trades", "--from-sequence", "1", "--to-sequence", "1000000") == trades
    assert run("release_settlement", "--older-than", "0").startswith("Released 1 day, 12 blocks; deleted ")
    assert run("release_settlement", "--older-than", "0") == (
        "Nothing to release: blocks up to 24 are in the archive alone.\n"
    )
    assert run("verify_archive").startswith(REPORT)
    assert refused("release_settlement", "--through", "2026-03-01") == (
        2, "The day 2026-03-01 is not in the archive, it reaches 2026-01-31: run archive_settlement first."
    )  # fmt: skip


def test_a_release_needs_an_archive_and_a_number_of_days(settled: Store, data_dir: Path) -> None:
    assert refused("release_settlement", "--older-than", "3")[0] == 2
    for days in ("-1", "x", "99999", "１"):
        assert "is not a number of days from 0 to 36500" in refused("release_settlement", f"--older-than={days}")[1]
    assert "one of the arguments --older-than --through is required" in refused("release_settlement")[1]


def test_a_changed_file_makes_verify_archive_exit_1(settled: Store, data_dir: Path) -> None:
    run("archive_settlement")
    file = next((data_dir / "archive" / "trades").rglob("*.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    code, sentence, printed = ended("verify_archive")
    assert (code, sentence) == (1, "The archive is not what was settled: 1 differences were found.")
    assert printed.startswith("file trades/data/day=2026-01-3")


def test_a_day_that_is_not_over_makes_archive_settlement_exit_2(settled: Store, data_dir: Path) -> None:
    code, sentence = refused("archive_settlement", "--through", "2026-03-01")
    assert code == 2
    assert sentence.startswith("The day 2026-03-01 is not complete in the store: its newest projected block is of ")


@pytest.mark.parametrize("command", [["verify_archive"], ["restore_settlement", "--from-archive"]])
def test_commands_that_read_create_no_archive(store: Store, data_dir: Path, command: list[str]) -> None:
    code, sentence = refused(*command)
    assert (code, sentence) == (2, f"There is no archive: {data_dir / 'archive'} does not exist.")
    assert not (data_dir / "archive").exists()


def test_two_runs_do_not_work_at_once(settled: Store, data_dir: Path) -> None:
    with wiring.exclusive():
        code, sentence = refused("archive_settlement")
    assert (code, sentence) == (2, f"Another process archives from {data_dir}: wait until it has ended.")


def test_an_option_that_is_no_day_is_refused(store: Store) -> None:
    assert "'yesterday' is not a day such as 2026-01-31" in refused("archive_settlement", "--through", "yesterday")[1]

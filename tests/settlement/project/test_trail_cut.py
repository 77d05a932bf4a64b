"""Lines of later trades are taken out of the CSV trail and kept; the trail goes on in the right file."""

from pathlib import Path

import pytest

from settlement.errors import TrailUnusable
from settlement.project import trail_cut
from settlement.project.trail import NAME, files_of, lines_of
from tests.settlement.project.test_trail import trade, write

TRADES = [trade(10), trade(20), trade(30, days=1), trade(40, days=1), trade(50, days=2), trade(60, days=2)]
"""Two trades a day."""


def ids(folder: Path) -> list[int]:
    return [int(line.split(",")[0]) for _, _, line in lines_of(folder)]


def first_cut(folder: Path, first_trade: int) -> None:
    write(folder, *TRADES)
    trail_cut.cut(folder, first_trade, folder / "kept")


@pytest.mark.parametrize("first_trade", [1, 10, 11, 20, 25, 30, 40, 45, 50, 60, 61])
def test_lines_are_moved_and_the_trail_can_be_completed_again(tmp_path: Path, first_trade: int) -> None:
    first_cut(tmp_path, first_trade)
    assert ids(tmp_path) == [one.trade_id for one in TRADES if one.trade_id < first_trade]
    assert ids(tmp_path / "kept") == [one.trade_id for one in TRADES if one.trade_id >= first_trade]
    write(tmp_path, *TRADES)
    assert ids(tmp_path) == [one.trade_id for one in TRADES]
    assert [path.name for path in files_of(tmp_path)] == [
        "settled_trades-2024-10-04.csv",
        "settled_trades-2024-10-05.csv",
        NAME,
    ]


def test_cutting_again_changes_nothing(tmp_path: Path) -> None:
    first_cut(tmp_path, 35)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    trail_cut.cut(tmp_path, 35, tmp_path / "kept")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}


def test_a_folder_without_trail_is_no_error(tmp_path: Path) -> None:
    trail_cut.cut(tmp_path, 1, tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_a_line_of_something_else_is_named(tmp_path: Path) -> None:
    write(tmp_path, *TRADES[:1])
    with (tmp_path / NAME).open("a", encoding="utf-8") as file:
        file.write("not a line\n")
    with pytest.raises(TrailUnusable, match="has a line that is none of the trail: b'not a line"):
        trail_cut.cut(tmp_path, 15, tmp_path / "kept")

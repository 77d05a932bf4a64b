"""Progress bars are drawn only on a terminal."""

import io
import sys

import pytest

from matching.commandline import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replaces standard error by a terminal. Not a fixture, because pytest replaces it before a test begins."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    return made


def test_no_bar_is_drawn_if_standard_error_is_not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with progress.bar("orders.jsonl", "lines") as shown, progress.blocks("verifying") as reach:
        shown.update()
        reach(1, 2)
    assert list(progress.bar("orders.jsonl", "lines", over=[1, 2])) == [1, 2]
    assert file.getvalue() == ""


def test_blocks_are_counted_up_to_the_last_one_and_the_bar_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    with progress.blocks("verifying") as reach:
        reach(3, 12)
        assert "verifying:  25%" in shown.getvalue()
        reach(12, 12)
    drawn = shown.getvalue()
    assert "12/12" in drawn
    assert drawn.rpartition("\r")[0].rpartition("\r")[2].strip() == ""


def test_blocks_may_be_counted_again_from_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a rebuild does, which first reads what stays and then projects the rest."""
    shown = terminal(monkeypatch)
    with progress.blocks("rebuilding") as reach:
        reach(8, 8)
        reach(5, 10)
        reach(6, 10)
        assert "6/10" in shown.getvalue()


def test_iterated_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    assert sum(progress.bar("messages.csv", "messages", over=iter([1, 2, 3]))) == 6
    assert "messages.csv: 3 messages" in shown.getvalue()

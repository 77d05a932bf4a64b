"""verify_settlement compares the CSV trail line by line."""

from pathlib import Path

import pytest

from matching.core.engine import Engine
from settlement.audit import verify
from settlement.project.trail import HEADER, NAME
from settlement.receive.chain import stored
from settlement.stores.base import Store
from tests.settlement.audit.verify.conftest import BLOCKS, Verify, differing
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of


def trail_file(folder: Path) -> tuple[Path, list[str]]:
    return folder / NAME, (folder / NAME).read_text().splitlines(keepends=True)


@pytest.mark.parametrize("field", range(15))
def test_a_changed_csv_line_is_named(verified: Verify, folder: Path, field: int) -> None:
    file, lines = trail_file(folder)
    fields = lines[5].rstrip("\n").split(",")
    fields[field] += "1"
    file.write_text("".join([*lines[:5], ",".join(fields) + "\n", *lines[6:]]))
    trade_id = lines[5].split(",")[0]
    strays = [f"csv line {NAME}:6", f"csv line of trade {trade_id}"]
    assert differing(verified()) == (strays if field == 0 else strays[:1])


@pytest.mark.parametrize("place", [1, 7, -1])
def test_a_removed_csv_line_is_named(verified: Verify, folder: Path, place: int) -> None:
    file, lines = trail_file(folder)
    trade_id = lines.pop(place).split(",")[0]
    file.write_text("".join(lines))
    assert differing(verified()) == [f"csv line of trade {trade_id}"]


@pytest.mark.parametrize("line", ["7,added\n", "nonsense\n", "\n", "99999999,added\n"])
@pytest.mark.parametrize("place", [1, 9, -1])
def test_an_added_csv_line_is_named(verified: Verify, folder: Path, line: str, place: int) -> None:
    file, lines = trail_file(folder)
    place %= len(lines) + 1
    file.write_text("".join([*lines[:place], line, *lines[place:]]))
    assert differing(verified()) == [f"csv line {NAME}:{place + 1}"]


def test_a_trail_without_blocks_is_named(store: Store, folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).write_text(HEADER + "\n7,added\n")
    assert differing(verify.verify(store, folder, Engine())) == [f"csv line {NAME}:2"]


def test_a_trail_may_be_ahead_of_the_checkpoint_but_not_of_the_blocks(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:-4]))
    lines = (folder / NAME).read_text()
    store.append_blocks([stored(block) for block in BLOCKS[-4:]])
    last = BLOCKS[-1].last_event_sequence
    (folder / NAME).write_text(f"{lines}{last},ahead\n{last + 1},beyond\n")
    (name,) = differing(verify.verify(store, folder, Engine()))
    assert name == f"csv line {NAME}:{lines.count(chr(10)) + 2}"


def test_of_a_missing_trail_each_line_is_named(verified: Verify, folder: Path) -> None:
    for path in folder.glob("settled_trades*.csv"):
        path.unlink()
    report = verified()
    assert len(differing(report)) == report.trades

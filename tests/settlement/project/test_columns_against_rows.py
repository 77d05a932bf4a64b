"""The projection of whole arrays gives the rows of the projection row by row, whatever the stream and the batches."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.core.blocks import Block
from matching.core.codes import EventFlag, EventKind
from settlement.project.projection import EmptyTables, Projector, slices_of
from settlement.stores.base import WHOLE, Checkpoint, Projection, Slice
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.every_command import market
from tests.settlement.project.test_projection import Written
from tests.settlement.row_by_row.early_blocks import in_early_layout
from tests.settlement.row_by_row.projection import RowProjector

IN_ANY_ORDER = ("balances", "candles", "days")
"""Tables whose rows have no order within a batch."""


@lru_cache(maxsize=400)
def stream(seed: int, commands: int = 400) -> list[Block]:
    """Seeds differ in instruments, accounts, block sizes and the record layout of the first blocks."""
    made = random_commands(seed, commands, instruments=1 + seed % 3, accounts=3 + seed % 5, wild=False)
    blocks = chain_of(made, block_size=(7, 40, 150)[seed % 3]).blocks
    if seed % 4:
        return blocks
    return in_early_layout(blocks, 1 + seed // 4 % 2, until=blocks[len(blocks) * 3 // 4].number)


def batches(blocks: Sequence[Block], sizes: Sequence[int], max_events: int) -> Iterator[tuple[Sequence[Block], Slice]]:
    """Batches of these numbers of blocks; where a batch has one block it is cut into slices."""
    start = count = 0
    while start < len(blocks):
        batch = blocks[start : start + sizes[count % len(sizes)]]
        start, count = start + len(batch), count + 1
        for part in slices_of(batch[0], max_events) if len(batch) == 1 else (WHOLE,):
            yield batch, part


def rows_of(projection: Projection) -> dict[str, Any]:
    found: dict[str, Any] = {name: list(rows) for name, rows in projection._asdict().items() if name != "before"}
    for name in IN_ANY_ORDER:
        found[name].sort()
    found["before"] = projection.before and [sorted(rows) for rows in projection.before]
    return found


def check(blocks: Sequence[Block], parts: Iterator[tuple[Sequence[Block], Slice]], *, kept: int | None) -> None:
    """Both projectors read their own tables. Those of a projector that keeps everything stay empty."""
    tables, reference_tables = Written(), Written()
    is_stored = kept is not None
    columns = Projector(tables if is_stored else EmptyTables(), kept=kept, includes_before=True)
    rows = RowProjector(reference_tables if is_stored else EmptyTables(), kept=kept, includes_before=True)
    for batch, part in parts:
        found, expected = columns.project(batch, part), rows.project(batch, part)
        assert rows_of(found) == rows_of(expected)
        tables.write(found)
        reference_tables.write(expected)
    if kept is None:
        assert list(columns.open_orders()) == rows.open_orders()
        assert list(columns.balances()) == rows.balances()
        assert columns.settings() == rows.settings()
        end = Checkpoint(blocks[-1].number, blocks[-1].hash, blocks[-1].epoch)
        assert columns.base(end) == rows.base(end)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 23),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    max_events=st.integers(1, 60),
    kept=st.one_of(st.none(), st.integers(1, 60)),
)
def test_any_batches_and_slices_of_random_streams_give_the_rows_of_the_reference(
    seed: int, sizes: list[int], max_events: int, kept: int | None
) -> None:
    blocks = stream(seed)
    check(blocks, batches(blocks, sizes, max_events), kept=kept)


@pytest.mark.slow
def test_three_hundred_random_streams_give_the_rows_of_the_reference() -> None:
    for seed in range(100, 400):
        blocks = stream(seed, 250)
        check(blocks, batches(blocks, [1 + seed % 9, 1], 5 + seed % 50), kept=(None, 3, 200)[seed % 3])


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("max_events", [1, 3, 1000])
def test_commands_of_every_kind_give_the_rows_of_the_reference(version: int, max_events: int) -> None:
    blocks = market().blocks
    if version < 3:
        blocks = in_early_layout(blocks, version, until=blocks[-3].number)
    check(blocks, batches(blocks, [1], max_events), kept=None)
    check(blocks, batches(blocks, [5], max_events), kept=2)


def test_the_streams_have_every_kind_of_row() -> None:
    """Otherwise the comparisons would prove less than they say."""
    unlocked = by_quote = 0
    kinds: set[int] = set()
    for seed in range(24):
        for block in stream(seed):
            kinds.update(block.events["kind"].tolist())
            names = block.events.dtype.names or ()
            unlocked += int((block.events["taker_unlock"] != 0).sum()) if "taker_unlock" in names else 0
            by_quote += int((block.events["flags"] & EventFlag.BY_QUOTE != 0).sum())
    assert kinds == set(map(int, EventKind))
    assert unlocked > 3
    assert by_quote > 50

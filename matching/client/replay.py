"""Runs JSON commands through a new engine: the reference output for tests, audits and other tools."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from matching.client.command_lines import numbered_commands
from matching.client.edge import BatchBuilder, Edge
from matching.client.jsonlines import Names, block_events
from matching.client.state_form import summary
from matching.core import layout, snapshots
from matching.core.blocks import Records
from matching.core.codes import EventKind
from matching.core.engine import Engine

MAX_BLOCK_COMMANDS = 1_000_000

_CLIENT = 1
"""The client of a run. It has a number, because the engine remembers of each client whether its last command was
accepted: an order in the next block may require that."""
_NAMES_KEPT = 65_536


def replay(
    lines: Iterable[str],
    *,
    block_size: int = 512,
    snapshot_at: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Yields the events of the commands in `lines`, with refusals of the edge in line order, then the summary.

    A block ends after `block_size` commands or a command on reference data; an oco is two commands and is not cut. Its
    timestamp is its number. After the block with command `snapshot_at` the engine is replaced by one restored from its
    snapshot. `progress` is called for every line.
    """
    run = _Run(block_size, snapshot_at)
    for number, command in numbered_commands(lines, progress):
        yield from run.add(command, number)
    yield from run.end_block()
    yield summary(run.engine, run.trades)


class _Line(NamedTuple):
    """A line since the last block: its number of records, or why the edge refused it."""

    records: int
    refusal: dict[str, Any] | None = None


class _Run:
    def __init__(self, block_size: int, snapshot_at: int | None) -> None:
        self.engine = Engine()
        self.trades = 0
        self._block_size = block_size
        self._snapshot_at = snapshot_at
        self._edge = Edge(self.engine.registry)
        self._builder = BatchBuilder(self._edge)
        self._lines: list[_Line] = []
        self._names: Names = {}
        self._names_kept = _NAMES_KEPT

    def add(self, command: object, line: int) -> Iterator[dict[str, Any]]:
        before = len(self._builder)
        refusal = self._builder.add(command)
        self._lines.append(_Line(len(self._builder) - before, refusal.event(line) if refusal else None))
        if self._builder.ends_block or len(self._builder) >= self._block_size:
            yield from self.end_block()

    def end_block(self) -> Iterator[dict[str, Any]]:
        """Applies the collected commands. Yields their events and the refusals, in the order of the lines."""
        commands, texts = self._builder.take()
        sequence = self.engine.next_command_sequence
        found = self._apply(commands, texts)
        for records, refusal in self._lines:
            if refusal is not None:
                yield refusal
            for _ in range(records):
                yield from found[sequence]
                sequence += 1
        self._lines.clear()
        self._forget_closed_orders()
        if self._snapshot_at is not None and sequence > self._snapshot_at:
            self._snapshot_at = None
            self.engine = snapshots.decode(snapshots.encode(self.engine))
            self._edge.registry = self.engine.registry

    def _apply(self, commands: Records, texts: bytes) -> dict[int, list[dict[str, Any]]]:
        """Applies commands as one block, or as several if it has too many events. Returns events by command."""
        found: dict[int, list[dict[str, Any]]] = {}
        while len(commands):
            first = self.engine.next_command_sequence
            requests = np.array([(_CLIENT, first, 0, 0, len(commands), 0)], layout.REQUEST)
            block = self.engine.apply(requests, commands, texts, self.engine.block_number + 1)
            self.trades += int((block.events["kind"] == EventKind.TRADE).sum())
            for event in block_events(block, self.engine.registry, self._names):
                found.setdefault(event["command_sequence"], []).append(event)
            done = self.engine.next_command_sequence - first
            texts = texts[int(commands["text_length"][:done].sum(dtype=np.int64)) :]
            commands = commands[done:].copy()
            commands["text_offset"] -= commands["text_offset"][:1].sum()
        return found

    def _forget_closed_orders(self) -> None:
        """Bounds the memory for names by the number of open orders."""
        if len(self._names) > self._names_kept:
            is_open = set(self.engine.open_order_ids().tolist())
            self._names = {order_id: name for order_id, name in self._names.items() if order_id in is_open}
            self._names_kept = 2 * len(self._names) + _NAMES_KEPT

"""Runs JSON commands through a new engine: the reference output for tests, audits and other tools."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from matching.client.command_lines import numbered_commands
from matching.client.edge import BatchBuilder, Edge
from matching.client.jsonlines import block_events
from matching.client.state_form import summary
from matching.core import layout, snapshots
from matching.core.codes import EventKind
from matching.core.engine import Engine

MAX_BLOCK_COMMANDS = 1_000_000


def replay(
    lines: Iterable[str],
    *,
    block_size: int = 512,
    snapshot_at: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Yields the events of the commands in `lines`, with refusals of the edge in line order, then the summary.

    A block ends after `block_size` commands or a command on reference data. Its timestamp is its number. After the
    block with command `snapshot_at` the engine is replaced by one restored from its snapshot. `progress` is called for
    every line.
    """
    run = _Run(block_size, snapshot_at)
    for number, command in numbered_commands(lines, progress):
        yield from run.add(command, number)
    yield from run.end_block()
    yield summary(run.engine, run.trades)


class _Run:
    def __init__(self, block_size: int, snapshot_at: int | None) -> None:
        self.engine = Engine()
        self.trades = 0
        self._block_size = block_size
        self._snapshot_at = snapshot_at
        self._builder = BatchBuilder(Edge(self.engine.registry))
        self._refusals: list[dict[str, Any] | None] = []  # per line since the last block; None: not refused

    def add(self, command: object, line: int) -> Iterator[dict[str, Any]]:
        refusal = self._builder.add(command)
        self._refusals.append(refusal.event(line) if refusal else None)
        if self._builder.ends_block or len(self._builder) == self._block_size:
            yield from self.end_block()

    def end_block(self) -> Iterator[dict[str, Any]]:
        """Applies the collected commands. Yields their events and the refusals, in the order of the lines."""
        commands, texts = self._builder.take()
        found: dict[int, list[dict[str, Any]]] = {}
        sequence = self.engine.next_command_sequence
        if len(commands):
            requests = np.array([(0, 0, 0, 0, len(commands), 0)], layout.REQUEST)
            block = self.engine.apply(requests, commands, texts, self.engine.block_number + 1)
            self.trades += int((block.events["kind"] == EventKind.TRADE).sum())
            for event in block_events(block, self.engine.registry):
                found.setdefault(event["command_sequence"], []).append(event)
        for refusal in self._refusals:
            if refusal is not None:
                yield refusal
            else:
                yield from found[sequence]
                sequence += 1
        self._refusals.clear()
        if self._snapshot_at is not None and sequence > self._snapshot_at:
            self._snapshot_at = None
            self.engine = snapshots.decode(snapshots.encode(self.engine))
            self._builder = BatchBuilder(Edge(self.engine.registry))

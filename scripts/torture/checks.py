"""Compares answers with the chain: each answered command is there once, with the answered sequence and events."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from matching.core.blocks import Block
from scripts.torture.clients import Acknowledged

MAX_PROBLEMS = 20


class _Run(NamedTuple):
    """Consecutive commands of one client in one block."""

    number: int
    command_count: int
    block: int
    command_sequence: int


@dataclass
class Comparison:
    """Result of the comparison. `problems` has at most MAX_PROBLEMS of `problem_count`."""

    blocks: int = 0
    commands: int = 0  # in the chain
    answered: int = 0  # commands
    forgotten: int = 0  # of these, answered without events: only their presence is compared
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def compare(blocks: Iterable[Block], acknowledged: Sequence[Acknowledged]) -> Comparison:
    """`blocks` start with number 1. Each is read once and not kept."""
    found = Comparison()
    told = defaultdict(list)
    for one in acknowledged:
        told[one.block].append(one)
    runs: dict[int, list[_Run]] = defaultdict(list)
    for block in blocks:
        found.blocks += 1
        found.commands += block.command_count
        if block.number != found.blocks:
            found.add(f"Expected block {found.blocks} in the store, found block {block.number}.")
        _walk(block, runs, found)
        for one in told.pop(block.number, ()):
            _compare_one(one, block, runs[one.client], found)
    for one in told.pop(0, ()):
        found.forgotten += one.command_count
        if _next_number(runs[one.client]) < one.number + one.command_count:
            found.add(f"{_named(one)} were answered as applied earlier, but are not in the chain.")
    for lost in told.values():
        for one in lost:
            found.add(f"{_named(one)} were answered with block {one.block}, which is not in the store.")
    found.answered = sum(one.command_count for one in acknowledged)
    _check_answered_once(acknowledged, found)
    return found


def _walk(block: Block, runs: dict[int, list[_Run]], found: Comparison) -> None:
    """Records the positions of each client's commands. Numbers must increase by one over all blocks."""
    sequence = block.first_command_sequence
    for client, number, _, _, count, _ in block.requests.tolist():
        expected = _next_number(runs[client])
        if number != expected:
            what = "again" if number < expected else f"though {expected} was next"
            found.add(f"Block {block.number} contains number {number} of client {client:x} {what}.")
        runs[client].append(_Run(number, count, block.number, sequence))
        sequence += count


def _next_number(runs: Sequence[_Run]) -> int:
    return runs[-1].number + runs[-1].command_count if runs else 1


def _compare_one(one: Acknowledged, block: Block, runs: Sequence[_Run], found: Comparison) -> None:
    at = bisect_right(runs, one.number, key=lambda run: run.number) - 1
    run = runs[at] if at >= 0 else None
    if run is None or run.block != block.number or one.number + one.command_count > run.number + run.command_count:
        found.add(f"{_named(one)} were answered with block {block.number}, which does not contain them.")
        return
    sequence = run.command_sequence + one.number - run.number
    if sequence != one.command_sequence:
        found.add(f"{_named(one)} were answered with sequence {one.command_sequence}, but the chain has {sequence}.")
    start, stop = np.searchsorted(block.events["command_sequence"], (sequence, sequence + one.command_count))
    if block.events[start:stop].tobytes() != one.events:
        found.add(f"{_named(one)} were answered with other events than block {block.number} has.")


def _check_answered_once(acknowledged: Sequence[Acknowledged], found: Comparison) -> None:
    before = None
    for one in sorted(acknowledged):
        if before is not None and before.client == one.client and one.number < before.number + before.command_count:
            found.add(f"{_named(one)} were answered twice.")
        before = one


def _named(one: Acknowledged) -> str:
    return f"Numbers {one.number} to {one.number + one.command_count - 1} of client {one.client:x}"

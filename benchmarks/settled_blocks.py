"""Blocks for benchmarks of a store, made by an engine from a seeded workload.

`demo` is the demo market: 18 accounts, three instruments, many trades. `hot` and `pairs` are workloads of
`matching.workloads.generated`: a hot book with a thousand accounts, and pairs of orders that trade with each other.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matching.client import jsonlines
from matching.client.client import Result
from matching.client.edge import BatchBuilder, Edge
from matching.core.blocks import Block
from matching.core.codes import CommandKind
from matching.core.engine import Engine
from matching.core.registry import Registry
from matching.workloads import demo_session, generated
from matching.workloads.demo_venue import Command

WORKLOADS = ("demo", "pairs", "hot")
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_BLOCK_COMMANDS = {"demo": 128, "pairs": 512, "hot": 512}
COMMAND_NS = 10**9 // 5  # of block time: a million commands span two days, so that lookups by day have several days


class Blocks(NamedTuple):
    """`setup`: definitions, deposits and initial orders; `stream`: the blocks to measure."""

    setup: list[Block]
    stream: list[Block]

    @property
    def commands(self) -> int:
        return sum(block.command_count for block in self.stream)


def make(name: str, commands: int, *, seed: int = 1) -> Blocks:
    """Blocks with about `commands` commands in `stream`. `name` is one of WORKLOADS."""
    return _demo(commands, seed) if name == "demo" else _generated(name, commands, seed)


class Recorder:
    """An engine that keeps its blocks. Implements `matching.workloads.demo_session.Venue` for the demo market."""

    def __init__(self, command_ns: int = COMMAND_NS) -> None:
        """`command_ns`: the block time from a command to the next one."""
        self.blocks: list[Block] = []
        self._command_ns = command_ns
        self._engine = Engine()
        self._builder = BatchBuilder(Edge(self._engine.registry))
        self._now_ns = START_NS

    @property
    def registry(self) -> Registry:
        return self._engine.registry

    def status(self) -> dict[str, Any]:
        return {"command_sequence": self._engine.next_command_sequence - 1}

    def depth(self) -> dict[str, dict[str, list[list[int]]]]:
        return {}

    def call(self, commands: Sequence[Command]) -> list[Result]:
        """Applies the commands as one block, except that a definition ends a block."""
        found: list[Result] = []
        for command in commands:
            refusal = self._builder.add(command)
            assert refusal is None or refusal.event(None)["event"] == "rejected"
            found.append(Result(None, None, [] if refusal is None else [refusal.event(None)]))
            if self._builder.ends_block:
                self.apply(*self._builder.take())
        if not len(self._builder):
            return found
        applied = self._results(self.apply(*self._builder.take()))
        return [one if one.events else next(applied) for one in found]

    def _results(self, block: Block) -> Iterator[Result]:
        """One for each command. The two records of an oco are one command."""
        events: dict[int, list[dict[str, Any]]] = {}
        for event in jsonlines.block_events(block, self.registry):
            events.setdefault(event["command_sequence"], []).append(event)
        kinds = block.commands["kind"].tolist()
        for sequence, kind in enumerate(kinds, block.first_command_sequence):
            if kind != CommandKind.OCO_STOP:
                of_second = events.get(sequence + 1, []) if kind == CommandKind.OCO else []
                yield Result(sequence, block.number, events.get(sequence, []) + of_second)

    def apply(self, commands: Any, texts: bytes) -> Block:
        requests = generated.request_of(len(commands))
        block = self._engine.apply(requests, commands, texts, self._now_ns)
        self._now_ns += len(commands) * self._command_ns
        self.blocks.append(block)
        return block


def _demo(commands: int, seed: int) -> Blocks:
    recorder = Recorder()
    market = demo_session.begin(recorder, seed)
    setup = len(recorder.blocks)
    size = _BLOCK_COMMANDS["demo"]
    for at in range(0, commands, size):
        sent = [market.next() for _ in range(min(size, commands - at))]
        for command, result in zip(sent, recorder.call(sent), strict=True):
            market.observe(command, result.events)
    return Blocks(recorder.blocks[:setup], recorder.blocks[setup:])


def _generated(name: str, commands: int, seed: int) -> Blocks:
    recorder = Recorder()
    size = _BLOCK_COMMANDS[name]
    work = generated.generate("hot", commands if name == "hot" else 1, seed=seed)
    recorder.call(work.definitions())
    stream = work.stream if name == "hot" else generated.pairs(commands, work.accounts, len(work.stream), seed=seed)
    for part in work.setup:
        for batch in part.batches(size):
            recorder.apply(*batch)
    setup = len(recorder.blocks)
    for batch in stream.batches(size):
        recorder.apply(*batch)
    return Blocks(recorder.blocks[:setup], recorder.blocks[setup:])

"""Durable commands a second while settlement projects and while it does not, in turn, each in a new exchange.

Also how fast it projects while commands arrive, compared with afterwards: the speeds of one and the same run.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pipeline_bench import BATCH_COMMANDS, TIMEOUT_S, Say, send_batches, settings_of
from benchmarks.processes import APPEND_ONLY, Exchange, exchange
from matching.client.client import Client
from matching.client.connection import Connection
from matching.workloads import generated

_AFTERWARDS_S = 8.0
"""For how long the projection is measured without commands."""


@dataclass(frozen=True)
class Turn:
    """`blocks_*`: projected blocks a second, while commands arrived and afterwards."""

    commands_per_second: float
    blocks_during: float
    blocks_afterwards: float


@dataclass(frozen=True)
class Durable:
    commands: int
    projecting: list[Turn]
    appending_only: list[float]  # commands a second

    @property
    def ratio(self) -> float:
        """Durable commands a second with projection, to those without."""
        return round(median(turn.commands_per_second for turn in self.projecting) / median(self.appending_only), 2)

    @property
    def projection_ratio(self) -> float:
        """Projected blocks a second while commands arrive, to those afterwards."""
        return round(median(turn.blocks_during / max(turn.blocks_afterwards, 1e-9) for turn in self.projecting), 2)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "projection_ratio": self.projection_ratio}


def measure(
    commands: int, *, turns: int, store: str, seed: int, parent: Path | None, say: Say, is_plain: bool
) -> Durable:
    """`store` is sql or scylla. Raises as `pipeline_bench.measure`."""
    workload = generated.generate("hot", commands, seed=seed)
    projecting, alone = [], []
    for number in range(turns):
        say(f"durable commands, turn {number + 1} of {turns}: with projection, then without")
        with settings_of(store) as chosen, exchange(parent, chosen, is_plain=is_plain) as running:
            projecting.append(_turn(running, workload, commands, is_projecting=True))
        with (
            settings_of(store) as chosen,
            exchange(parent, chosen, is_plain=is_plain, settlement=APPEND_ONLY) as running,
        ):
            alone.append(_turn(running, workload, commands, is_projecting=False).commands_per_second)
    return Durable(commands, projecting, alone)


def _turn(running: Exchange, workload: generated.Workload, commands: int, *, is_projecting: bool) -> Turn:
    address = running.environment["ENGINE_COMMAND_ADDRESS"]
    with Client(address, timeout_s=TIMEOUT_S, make_network=running.make_network) as client:
        client.call(workload.definitions())
    connection = Connection(address, timeout_s=TIMEOUT_S, make_network=running.make_network)
    try:
        for stream in workload.setup:
            last, _ = send_batches(connection, stream.batches(BATCH_COMMANDS))
        running.wait_until_confirmed(connection, last)
        if is_projecting:
            running.wait_until_projected(last)
        batches = list(workload.stream.batches(BATCH_COMMANDS))
        first_projected, began_s = _projected(running, is_projecting), time.perf_counter()
        last, _ = send_batches(connection, batches)
        running.wait_until_confirmed(connection, last)
        durable_s = time.perf_counter() - began_s
        projected = _projected(running, is_projecting)
        rest_s, rest = _afterwards(running, projected, last) if is_projecting else (1.0, 0)
        return Turn(round(commands / durable_s), round((projected - first_projected) / durable_s, 1), rest / rest_s)
    finally:
        connection.close()


def _projected(running: Exchange, is_projecting: bool) -> int:
    return running.projected_blocks() if is_projecting else 0


def _afterwards(running: Exchange, before: int, last: int) -> tuple[float, int]:
    """Seconds, and the blocks that were projected in them; ends with block `last`."""
    began_s = time.perf_counter()
    now = before
    while (taken_s := time.perf_counter() - began_s) < _AFTERWARDS_S and now < last:
        time.sleep(0.1)
        now = running.projected_blocks()
    return taken_s, now - before


def text(found: Durable) -> Sequence[str]:
    speeds = ", ".join(f"{turn.commands_per_second:,.0f}" for turn in found.projecting)
    alone = ", ".join(f"{speed:,.0f}" for speed in found.appending_only)
    return (
        f"{found.commands:,} commands durable, in turn:",
        f"  with projection     {speeds} commands/s",
        f"  without             {alone} commands/s; ratio {found.ratio}",
        f"  projected meanwhile {found.projection_ratio} of the blocks a second that it projects afterwards",
    )

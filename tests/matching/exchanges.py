"""The kernel's engine with the interface of the reference engine, so that one test runs on both."""

from typing import Any

import numpy as np

from matching.client.edge import BatchBuilder, Edge
from matching.client.jsonlines import Names, block_events, dumps
from matching.client.state_form import state_form
from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS

_CLIENT = 1


class KernelExchange:
    """Applies each JSON command in its own block. All commands are those of one client."""

    def __init__(self) -> None:
        self.engine = Engine()
        self._edge = Edge(self.engine.registry)
        self._builder = BatchBuilder(self._edge)
        self._names: Names = {}
        self.block: Block  # the newest one

    def submit(self, command: object) -> list[dict[str, Any]]:
        self._edge.registry = self.engine.registry  # after a restart another one
        refusal = self._builder.add(command)
        if refusal is not None:
            return [refusal.event(None)]
        commands, texts = self._builder.take()
        self.engine.check(commands, texts)
        first_number = self.engine.clients.last_number(_CLIENT, 0) + 1
        requests = np.array([(_CLIENT, first_number, 0, 0, len(commands), 0)], layout.REQUEST)
        self.block = self.engine.apply(requests, commands, texts, self.engine.block_number + 1)
        return list(block_events(self.block, self.engine.registry, self._names))

    def state(self) -> dict[str, Any]:
        return state_form(self.engine)

    def restart(self) -> None:
        """Continues from a snapshot of itself."""
        self.engine = snapshots.decode(snapshots.encode(self.engine))


def defined_exchange() -> KernelExchange:
    """An exchange at block 3, with BTC-USD."""
    made = KernelExchange()
    for definition in DEFINITIONS:
        made.submit(definition)
    return made


def lines(events: list[dict[str, Any]]) -> list[str]:
    return [dumps(event) for event in events]

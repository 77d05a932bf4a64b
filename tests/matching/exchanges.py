"""The kernel's engine with the interface of the reference engine, so that one test runs on both."""

from typing import Any

import numpy as np

from matching.client.edge import BatchBuilder, Edge
from matching.client.jsonlines import block_events, dumps
from matching.client.state_form import state_form
from matching.core import layout, snapshots
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS


class KernelExchange:
    """Applies each JSON command in its own block."""

    def __init__(self) -> None:
        self.engine = Engine()

    def submit(self, command: object) -> list[dict[str, Any]]:
        builder = BatchBuilder(Edge(self.engine.registry))
        refusal = builder.add(command)
        if refusal is not None:
            return [refusal.event(None)]
        commands, texts = builder.take()
        self.engine.check(commands, texts)
        requests = np.array([(0, 0, 0, 0, 1, 0)], layout.REQUEST)
        block = self.engine.apply(requests, commands, texts, self.engine.block_number + 1)
        return list(block_events(block, self.engine.registry))

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

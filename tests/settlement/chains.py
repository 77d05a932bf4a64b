"""Block chains for tests: blocks that an engine creates from JSON commands."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.workloads.btc_usd import DEFINITIONS
from simulator.trust.forged_blocks import encoded_again
from tests.matching.layout_1 import engine_of_layout_1

START_NS = 1_767_225_590_000_000_000  # 2025-12-31T23:59:50Z: shortly before the next minute, day and year
STEP_NS = 500_000_000


class Chain:
    """An engine and its blocks."""

    def __init__(
        self, start_ns: int = START_NS, step_ns: int = STEP_NS, engine: Engine | None = None, client: int = 1
    ) -> None:
        """`client` sends all commands."""
        self.engine = engine or Engine()
        self._client = client
        self.blocks: list[Block] = []
        self._builder = BatchBuilder(Edge(self.engine.registry))
        self._next_ns = start_ns
        self._step_ns = step_ns

    def add(self, *commands: dict[str, Any], block_size: int = 64) -> "Chain":
        """Applies commands, except those that the edge refuses. The last block ends with the last command."""
        for command in commands:
            self._builder.add(command)
            if self._builder.ends_block or len(self._builder) >= block_size:
                self.end_block()
        if len(self._builder):
            self.end_block()
        return self

    def end_block(self) -> Block:
        """The next block, from the waiting commands; empty if there are none."""
        commands, texts = self._builder.take()
        first_number = self.engine.clients.last_number(self._client, 0) + 1
        request = [(self._client, first_number, 0, len(self.blocks), len(commands), 0)]
        requests = np.array(request if len(commands) else [], layout.REQUEST)
        block = self.engine.apply(requests, commands, texts, self._next_ns)
        self.blocks.append(block)
        self._next_ns += self._step_ns
        return block


def chain_of(commands: Iterable[dict[str, Any]], block_size: int = 64) -> Chain:
    return Chain().add(*commands, block_size=block_size)


def in_epoch(blocks: Iterable[Block], epoch: int, prev_hash: int) -> list[Block]:
    """The same block as the leader of another epoch would create it, after a block with `prev_hash`."""
    made = []
    for block in blocks:
        made.append(encoded_again(block, epoch=epoch, prev_hash=prev_hash))
        prev_hash = made[-1].hash
    return made


def deposit(account: int, asset: str, amount: str, reference: str) -> dict[str, Any]:
    return {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": reference}


def order(account: int, side: str, price: str, quantity: str, **more: Any) -> dict[str, Any]:
    """A limit order in BTC-USD."""
    fixed = {"command": "order", "account": account, "symbol": "BTC-USD", "side": side, "order_type": "limit"}
    return {**fixed, "price": price, "quantity": quantity, **more}


def worked_example() -> Chain:
    """The example of docs/semantics.md, section 6."""
    return chain_of(
        [
            *DEFINITIONS,
            deposit(1, "BTC", "1", "tx-1"),
            deposit(2, "USD", "30000", "tx-2"),
            order(1, "sell", "20000", "0.5", client_order_id="a"),
            order(2, "buy", "21000", "0.6"),
        ]
    )


def in_layout_1(blocks: Sequence[Block]) -> Chain:
    """The commands of these blocks, in blocks of record layout 1."""
    chain = Chain(engine=engine_of_layout_1())
    for block in blocks:
        texts = block.texts[: int(block.commands["text_length"].sum())]
        chain.blocks.append(chain.engine.apply(block.requests, block.commands.copy(), texts, block.timestamp_ns))
    return chain

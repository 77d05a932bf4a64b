"""Forged blocks: events that the commands do not give, under a right hash."""

import random
from typing import Any

from matching.core.blocks import Block


def with_false_event(data: bytes, rng: random.Random) -> bytes:
    """The bytes of a block with another amount in one event, and the right hash; unchanged without events."""
    block = Block.decode(data)
    if not block.event_count:
        return data
    return forged(block, rng.randrange(1, 1 << 62), rng.randrange(block.event_count)).data


def forged(block: Block, amount: int, event: int = -1) -> Block:
    """The block with another amount in one of its events. Its hash is right."""
    events = block.events.copy()
    events["amount"][event] = amount
    return encoded_again(block, events=events)


def encoded_again(block: Block, **changed: Any) -> Block:
    """The block with other header fields or records, and the hash of the new bytes."""
    names = (
        "number",
        "timestamp_ns",
        "first_command_sequence",
        "first_event_sequence",
        "epoch",
        "prev_hash",
        "layout_version",
    )
    fields: dict[str, Any] = {name: getattr(block, name) for name in names}
    fields |= {name: getattr(block, name) for name in ("requests", "commands", "events", "texts")}
    return Block.encode(**{**fields, **changed})

"""What an engine tells about itself: the status of every heartbeat, and the answers to its clients' questions."""

from dataclasses import asdict, dataclass, field
from typing import Any

from matching import wire
from matching.engine import Engine
from matching.layout import LAYOUT_VERSION
from matching.ring import Ring

LEADER = "leader"
FOLLOWER = "follower"

_DEPTH_LEVELS = 10

HALTED = "The ring is full of blocks that settlement has not confirmed: the engine takes no commands until it does."


@dataclass(slots=True)
class Counters:
    """Since the process started."""

    bad_messages: int = 0  # frames that were no message of ours
    refused_batches: int = 0  # halted, or a follower
    lost_answers: int = 0  # their client was gone or did not read
    commands: int = 0
    events: int = 0


@dataclass
class StatusBoard:
    """Puts it together when asked; keeps nothing but counts."""

    engine: Engine
    ring: Ring
    addresses: wire.Addresses
    role: str
    input_log: str
    counters: Counters = field(default_factory=Counters)

    @property
    def halted(self) -> str:
        """Why the engine takes no commands; "" while it does. A follower never takes any, and is not halted."""
        return HALTED if self.role == LEADER and self.ring.full else ""

    def fields(self) -> dict[str, Any]:
        engine, ring = self.engine, self.ring
        return {
            "role": self.role,
            "layout_version": LAYOUT_VERSION,
            "block": engine.block_number,
            "state_hash": f"{engine.state_hash:016x}",
            "timestamp_ns": engine.timestamp_ns,
            "command_sequence": engine.next_command_sequence - 1,
            "halted": bool(self.halted),
            "halted_reason": self.halted or None,
            "ring": {
                "blocks": len(ring),
                "bytes": ring.size_bytes,
                "unconfirmed_blocks": ring.unconfirmed,
                "unconfirmed_bytes": ring.unconfirmed_bytes,
                "max_blocks": ring.max_blocks,
                "max_bytes": ring.max_bytes,
                "first": ring.first,
                "confirmed": ring.confirmed,
            },
            "input_log": self.input_log,
            "addresses": asdict(self.addresses),
            "counters": asdict(self.counters),
        }

    def answer(self, verb: bytes) -> bytes:
        """JSON for one of `wire.QUESTIONS`."""
        if verb == wire.STATUS:
            return wire.encode_json(self.fields())
        if verb == wire.REGISTRY:
            return wire.encode_json({"block": self.engine.block_number, "registry": self.engine.registry.dump()})
        if verb == wire.DEPTH:
            return wire.encode_json({"block": self.engine.block_number, "depth": self._top_of_books()})
        return wire.encode_json(
            {
                "block": self.engine.block_number,
                "state_hash": f"{self.engine.state_hash:016x}",
                "balances": self.engine.balances(),
                "open_orders": self.engine.open_orders(),
            }
        )

    def _top_of_books(self) -> dict[str, Any]:
        """Symbol → best price levels, as `Engine.depth` gives them."""
        engine = self.engine
        return {
            instrument.symbol: engine.depth(instrument, _DEPTH_LEVELS) for instrument in engine.registry.instruments
        }

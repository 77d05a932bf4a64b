"""An engine's status, sent with every heartbeat, and its answers to clients' questions."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.core.hashes import hash_text
from matching.core.layout import LAYOUT_VERSION
from matching.core.reading.account_settings import account_settings
from matching.core.registry import REGISTRY_EVENTS
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import REPLICA, TAKE_COMMANDS
from matching.transport.permissions import NotPermitted

_DEPTH_LEVELS = 10

HALTED = "The ring is full of blocks that settlement has not confirmed: the engine takes no commands until it does."


@dataclass(slots=True)
class Counters:
    """Counts since the process started."""

    bad_messages: int = 0  # invalid frames
    not_permitted: int = 0  # messages that the role of the sender's key does not permit
    refused_batches: int = 0  # because the engine is halted or follows, or for their numbers
    refused_blocks: int = 0  # blocks of an epoch that has ended
    refused_confirmations: int = 0  # of another store or chain
    deferred_batches: int = 0  # of senders whose commands touch many orders
    dropped_batches: int = 0  # of those: there was no room
    lost_answers: int = 0  # the client was gone or did not read
    clock_jumps: int = 0  # number of times a clock became implausible
    commands: int = 0
    events: int = 0

    def note_refusal(self, error: BadMessage) -> str:
        """Counts a message that is refused; returns the refusal's code."""
        if isinstance(error, NotPermitted):
            self.not_permitted += 1
            return wire.NOT_PERMITTED
        self.bad_messages += 1
        return wire.TOO_LARGE if isinstance(error, wire.TooLarge) else wire.BAD_MESSAGE


@dataclass
class StatusBoard:
    """Builds the status from engine and ring when asked; stores only counts and reasons."""

    engine: Engine
    ring: Ring
    addresses: wire.Addresses
    role: str
    input_log: str
    counters: Counters = field(default_factory=Counters)
    followers: list[wire.Addresses] = field(default_factory=list)  # those that announced themselves lately

    log_full: str = ""  # why the input log does not accept the newest blocks, which stay invisible meanwhile
    waits: str = ""  # why a replica takes no commands: its log is unavailable, or it is catching up
    clock_fault: str = ""  # what is wrong with the clock that would date blocks
    is_catching_up: bool = False  # a replica that has not applied all messages that its log had at the start
    instance: str = ""  # random id of a replica's process
    skipped_messages: int = 0  # invalid messages in a replica's log, which were skipped

    # The answers for registry and depth at the newest block: with many instruments they take tens of milliseconds.
    _answered_at: object = field(default=None, init=False)
    _answers: dict[bytes, bytes] = field(default_factory=dict, init=False)

    @property
    def halted(self) -> str:
        """Why the engine takes no commands, "" while it does. A follower never takes commands and is not halted."""
        if self.log_full:
            return self.log_full
        if self.role in TAKE_COMMANDS and self.ring.full:
            return HALTED if self.role != REPLICA else f"{HALTED} {self._who_confirms}"
        return self.waits

    @property
    def _who_confirms(self) -> str:
        return (
            f"Settlement confirms only to the replicas in its ENGINE_REPLICAS: is {self.addresses.commands} among them?"
        )

    @property
    def block(self) -> tuple[int, int]:
        """Number and hash of the newest block that is visible to readers."""
        withheld = self.ring.withheld
        if withheld is not None:
            return withheld.number - 1, withheld.prev_hash
        return self.engine.block_number, self.engine.state_hash

    @property
    def command_sequence(self) -> int:
        """Sequence of the last command of the newest visible block."""
        withheld = self.ring.withheld
        return (self.engine.next_command_sequence if withheld is None else withheld.first_command_sequence) - 1

    def fields(self) -> dict[str, Any]:
        engine, ring = self.engine, self.ring
        number, state_hash = self.block
        return {
            **(self._replica_fields() if self.role == REPLICA else {}),
            "role": self.role,
            "layout_version": LAYOUT_VERSION,
            "epoch": engine.epoch,
            "block": number,
            "state_hash": f"{state_hash:016x}",
            "timestamp_ns": engine.timestamp_ns,
            "clock_fault": self.clock_fault or None,
            "command_sequence": self.command_sequence,
            "assets": len(engine.registry.assets),
            "instruments": len(engine.registry.instruments),
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
            "followers": [asdict(follower) for follower in self.followers],
            "counters": asdict(self.counters),
        }

    def _replica_fields(self) -> dict[str, Any]:
        return {
            "instance": self.instance,
            "catching_up": self.is_catching_up,
            "skipped_messages": self.skipped_messages,
        }

    def answer(self, verb: bytes) -> bytes:
        """The answer to one of `wire.QUESTIONS`, as JSON."""
        if verb == wire.STATUS:
            return wire.encode_json(self.fields())
        if self.log_full and not (verb == wire.REGISTRY and self._registry_is_logged()):
            number, state_hash = self.block
            unavailable = {"block": number, "state_hash": f"{state_hash:016x}", "unavailable": self.log_full}
            return wire.encode_json(unavailable)
        if verb == wire.STATE:
            return self._state()
        now = self.engine.block_number, self.engine.state_hash, self.block
        if self._answered_at != now:
            self._answered_at, self._answers = now, {}
        if verb not in self._answers:
            self._answers[verb] = self._registry() if verb == wire.REGISTRY else self._depth()
        return self._answers[verb]

    def _registry(self) -> bytes:
        return wire.encode_json({"block": self.block[0], "registry": self.engine.registry.dump()})

    def _depth(self) -> bytes:
        return wire.encode_json({"block": self.engine.block_number, "depth": self._top_of_books()})

    def _state(self) -> bytes:
        return wire.encode_json(state_of(self.engine))

    def _registry_is_logged(self) -> bool:
        """Whether no block that is missing in the input log changed the registry.

        Then clients may read it while halted.
        """
        withheld = self.ring.withheld
        if withheld is None:
            return True
        made = (self.ring.get_any(number) for number in range(withheld.number, self.engine.block_number + 1))
        return not any(block and np.isin(block.events["kind"], REGISTRY_EVENTS).any() for block in made)

    def _top_of_books(self) -> dict[str, Any]:
        """Symbol → best price levels, as `Engine.depth` gives them."""
        engine = self.engine
        return {
            instrument.symbol: engine.depth(instrument, _DEPTH_LEVELS) for instrument in engine.registry.instruments
        }


def state_of(engine: Engine) -> dict[str, Any]:
    """What an engine answers when it is asked for its state, in integer units."""
    return {
        "block": engine.block_number,
        "state_hash": hash_text(engine.state_hash),
        "balances": engine.balances(),
        "open_orders": engine.open_orders(),
        "pending_orders": engine.pending_orders(),
        "account_settings": account_settings(engine),
    }

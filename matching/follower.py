"""A second engine that re-executes the first one's blocks from block 1 on, and publishes the same bytes.

It takes no commands. Whatever differs from what the leader published stops it: one of the two is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from matching import wire
from matching.blocks import Block
from matching.desk import Desk
from matching.engine import Engine
from matching.errors import BadMessage, Diverged, MatchingError
from matching.feed import Feed
from matching.publisher import Publisher
from matching.ring import Ring
from matching.server import run_turns
from matching.sockets import Network, Socket
from matching.status import Counters

REFUSAL = "This engine follows another one and takes no commands: send them to the leader."
_BLOCKS_A_TURN = 256
_KEPT_AHEAD = 4096


class HistoryGone(MatchingError):
    """The leader does not hold its first blocks any more: start the follower earlier, or give the leader more ring."""


@dataclass
class Follower:
    """Everything that a turn needs, injected."""

    engine: Engine
    feed: Feed
    desk: Desk
    publisher: Publisher
    ring: Ring
    counters: Counters
    ahead: dict[int, Block] = field(default_factory=dict)
    requested_up_to: int = 0

    def turn(self) -> None:
        """What waits on the sockets, and what the leader has sent. Raises Diverged, HistoryGone, BadBlock."""
        for sender, batch in self.desk.receive():
            refused = wire.Refused(wire.FOLLOWER, REFUSAL, batch.client, batch.first_number)
            self.desk.refuse(sender, refused)
        for block in self.feed.receive(0, _BLOCKS_A_TURN):
            self._keep(block)
        while self.engine.block_number + 1 in self.ahead:
            self._apply(self.ahead.pop(self.engine.block_number + 1))
        self._ask_for_what_is_missing()
        self.publisher.serve()
        self.publisher.beat()

    def _keep(self, block: Block) -> None:
        done = self.ring.get(block.number)
        if done is not None and done.hash != block.hash:
            raise Diverged(
                f"Block {block.number} came again with other bytes than before: the leader has another history."
            )
        if self.engine.block_number < block.number <= self.engine.block_number + _KEPT_AHEAD:
            self.ahead[block.number] = block

    def _apply(self, block: Block) -> None:
        block.verify(self.engine.block_number + 1, self.engine.state_hash)
        own = re_executed(self.engine, block)
        self.ring.append(own)
        self.ring.confirm(own.number)  # a follower never halts: its leader does
        self.counters.commands += own.command_count
        self.counters.events += own.event_count
        self.publisher.publish([own])

    def _ask_for_what_is_missing(self) -> None:
        missing = self.feed.missing()
        if missing is not None and missing[0] == self.engine.block_number + 1 <= self.feed.newest():
            raise HistoryGone(
                f"The leader does not have block {missing[0]} any more, its oldest is {missing[1]}: "
                "a follower starts while the leader still holds its first block."
            )
        following = self.engine.block_number + 1
        upto = min(self.ahead, default=self.feed.newest() + 1) - 1
        if following <= upto and self.requested_up_to < following:
            self.feed.request(following, upto)
            self.requested_up_to = upto


def follow(follower: Follower, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Turns until `stop()`, over its own sockets and its feed's. Raises what `Follower.turn` raises."""
    run_turns(follower.turn, follower.publisher, network, [*sockets, *follower.feed.sockets], stop)


def re_executed(engine: Engine, block: Block) -> Block:
    """The block that `engine` makes of another one's block. Raises Diverged unless it is the same, byte for byte."""
    try:
        own = engine.follow(block)
    except BadMessage as error:
        raise Diverged(f"Block {block.number} holds commands that this engine would not take: {error}") from error
    if own.data != block.data:
        pairs = enumerate(zip(own.data, block.data, strict=False))
        at = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(own.data), len(block.data)))
        raise Diverged(
            f"Block {block.number} gives other bytes here than where it was made, from byte {at} of "
            f"{len(block.data)} on: two engines disagree."
        )
    return own

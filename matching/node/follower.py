"""A second engine that re-executes the first one's blocks, and publishes the same bytes.

It begins with block 1, or where the leader does not hold that any more, with the leader's newest snapshot. It takes no
commands, until it is promoted. Whatever differs from what the leader published stops it: one of the two is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from matching.core import snapshots
from matching.core.block_diff import difference
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadFile, BadMessage, Diverged, MatchingError
from matching.feed.download import Download
from matching.feed.reader import Feed
from matching.node.command_endpoint import CommandEndpoint, Promotion
from matching.node.publisher import Publisher
from matching.node.server import run_turns
from matching.node.status import Counters
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)

REFUSAL = "This engine follows another one and takes no commands: send them to the leader."
_BLOCKS_A_TURN = 256
_KEPT_AHEAD = 4096
_LEADER_LIVES_S = 2.0
"""A leader that was heard, or found, within this time is taken to live."""
_LONGEST_PENDING_S = 900.0
"""More than the ten minutes after which an engine gives up a snapshot that is not written by then."""

_OTHER_HISTORY = (
    "the leader's history is another one than this follower's, as when it was started again without blocks that only "
    "this follower has. Start this follower anew, to join that history without them; to keep such blocks, promote a "
    "follower before its leader is started again."
)
_STOP = "stop it first, or force this."


class HistoryGone(MatchingError):
    """The leader has neither the blocks that are needed next nor a snapshot: give it more ring, or let it make one."""


@dataclass
class Follower:
    """Everything that a turn needs, injected."""

    engine: Engine
    feed: Feed
    endpoint: CommandEndpoint
    publisher: Publisher
    ring: Ring
    counters: Counters
    ahead: dict[int, Block] = field(default_factory=dict)
    requested_up_to: int = 0
    download: Download | None = None
    promotion: Promotion | None = None
    """Set: the loop ends, for whoever started it to take over, and to grant or refuse this."""
    followed_epoch: int = 0
    """The newest that the leader's own blocks and snapshot were of; the engine may have newer ones from the store."""

    def turn(self) -> None:
        """What waits on the sockets, and what the leader has sent. Raises Diverged, HistoryGone, BadBlock."""
        for sender, batch in self.endpoint.receive():
            refused = wire.Refused(wire.FOLLOWER, REFUSAL, batch.client, batch.first_number, leader=self._leader())
            self.endpoint.refuse(sender, refused)
        came = self.feed.receive(0, _BLOCKS_A_TURN)
        for block in came:
            self._keep(block)
        while self._next in self.ahead:
            block = self.ahead.pop(self._next)
            if block.number <= self.engine.block_number:
                self._hold(block)
            elif not self._apply(block):
                break
        self._compare_heartbeat()
        self._join()
        self._ask_for_what_is_missing()
        self.feed.announce(self.publisher.addresses)
        self.publisher.serve()
        self.publisher.make_snapshot_if_due(self.engine)
        self.publisher.beat()
        if len(came) < _BLOCKS_A_TURN:  # else more of the leader's blocks may wait
            self._consider_promotion()

    @property
    def _next(self) -> int:
        """The block that comes next into the ring; it is executed, unless the snapshot has it in it already."""
        return self.ring.last + 1

    @property
    def leader_confirmed(self) -> int:
        """The block up to which settlement had confirmed to the leader, as far as that was heard."""
        status = self.feed.status()
        return status.confirmed if status else 0

    @property
    def leader_epoch(self) -> int:
        """The newest epoch that the leader itself has told of."""
        status = self.feed.status()
        return max(self.followed_epoch, status.epoch if status else 0)

    def unwritten(self) -> str:
        """After catching up with the store, why this engine should not lead yet; "" when nothing speaks against it."""
        if self.leader_confirmed <= self.engine.block_number:
            return ""
        return (
            f"Settlement has confirmed blocks up to {self.leader_confirmed} and has written them up to "
            f"{self.engine.block_number}: wait until it has written the rest, which nobody else holds."
        )

    def grant_promotion(self, epoch: int) -> None:
        """This engine leads from now on, in `epoch`: tells who asked for it."""
        assert self.promotion is not None, "somebody asked"
        self.endpoint.grant(self.promotion, epoch, self.engine.block_number + 1)
        self.promotion = None

    def refuse_promotion(self, sentence: str) -> None:
        """Tells who asked for it why not; `follow` may go on."""
        assert self.promotion is not None, "somebody asked"
        self.endpoint.deny(self.promotion, sentence)
        self.promotion = None
        self._forget_what_is_applied()

    def _leader(self) -> str:
        """Where commands are taken, as far as is known: a leader that is silent may have been replaced."""
        return self.feed.leader() if self.leader_lives() else ""

    def leader_lives(self) -> bool:
        """Whether it was heard, or found, lately."""
        return self.feed.silent_for_s() < _LEADER_LIVES_S

    # Blocks

    def _keep(self, block: Block) -> None:
        done = self.ring.get(block.number)
        if done is not None and done.hash != block.hash:
            if block.epoch < done.epoch:
                self._refuse(block)
                return
            raise Diverged(f"Block {block.number} came again with other bytes than before: {_OTHER_HISTORY}")
        kept = self.ahead.get(block.number)
        after = max(self.ring.last, self.download.number if self.download else 0)
        if after < block.number <= after + _KEPT_AHEAD and (kept is None or kept.epoch <= block.epoch):
            self.ahead[block.number] = block

    def _apply(self, block: Block) -> bool:
        """Whether it was applied; not: its epoch is over, and the right one is still to come."""
        if block.epoch < self.engine.epoch:
            self._refuse(block)
            return False
        if block.prev_hash != self.engine.state_hash and block.computed_hash() == block.hash:
            raise Diverged(f"Block {block.number} does not follow what this engine has: {_OTHER_HISTORY}")
        block.verify(self.engine.block_number + 1, self.engine.state_hash)
        own = re_executed(self.engine, block)
        self.followed_epoch = own.epoch
        self.ring.append(own)
        self._confirm()
        self.counters.commands += own.command_count
        self.counters.events += own.event_count
        self.publisher.publish([own])
        return True

    def _hold(self, block: Block) -> None:
        """A block that the snapshot has in it: settlement may not have it yet, and would get it from this engine."""
        before, engine = self.ring.get(block.number - 1), self.engine
        block.verify(block.number, before.hash if before is not None else block.prev_hash)
        if block.number == engine.block_number and block.hash != engine.state_hash:
            raise Diverged(f"Block {block.number} is not the one that the snapshot was made after: {_OTHER_HISTORY}")
        self.ring.append(block)
        self._confirm()

    def _refuse(self, block: Block) -> None:
        """A block of an epoch that is over, from a leader that does not know it."""
        self.counters.refused_blocks += 1
        self.requested_up_to = 0  # the right one is still to come

    def _confirm(self) -> None:
        """What settlement has confirmed to the leader, so that this ring, too, keeps the rest for it.

        A ring that is smaller than the leader's keeps what it can: a follower never halts, its leader does.
        """
        self.ring.confirm(min(self.leader_confirmed, self.ring.last))
        while self.ring.full:
            self.ring.confirm(self.ring.confirmed + 1)

    def _forget_what_is_applied(self) -> None:
        """After the engine has come by blocks in another way."""
        self.ahead = {number: block for number, block in self.ahead.items() if number >= self._next}
        self.requested_up_to = 0

    def _compare_heartbeat(self) -> None:
        """A leader that came back without blocks that this follower has says so with its first heartbeat."""
        status, engine = self.feed.status(), self.engine
        if status is None or status.epoch < engine.epoch:
            return
        lost = status.epoch > engine.epoch and status.block_number < engine.block_number
        other = status.block_number == engine.block_number and status.state_hash != engine.state_hash
        if lost or other:
            raise Diverged(
                f"The leader is in epoch {status.epoch} at block {status.block_number} with hash "
                f"{status.state_hash:016x}, this follower at block {engine.block_number} with hash "
                f"{engine.state_hash:016x}: {_OTHER_HISTORY}"
            )

    def _ask_for_what_is_missing(self) -> None:
        missing, following = self.feed.missing(), self._next
        if self.download is not None:
            return
        if missing is not None and missing[0] == following <= self.engine.block_number:
            # Of what the snapshot has in it, the leader has dropped what settlement has confirmed meanwhile.
            self._begin_ring_after(min(max(missing[1] - 1, following), self.engine.block_number))
            following = self._next
        elif missing is not None and missing[0] == following <= self.feed.newest():
            self.download = self.feed.download()
            return
        # A damaged number may have looked like a newer block, and been asked for; the next heartbeat tells.
        self.requested_up_to = min(self.requested_up_to, self.feed.newest())
        upto = min(self.ahead, default=self.feed.newest() + 1) - 1
        if following <= upto and (self.requested_up_to < following or missing is not None):
            self.feed.request(following, upto)
            self.requested_up_to = upto

    # Joining

    def _join(self) -> None:
        """Once all of the leader's snapshot is here, the engine goes on from it."""
        if self.download is None:
            return
        missing = self.feed.missing()
        if missing is not None:
            raise HistoryGone(
                f"The leader does not have block {self.engine.block_number + 1} any more, its oldest is {missing[1]}: "
                "it makes no snapshots, so a follower starts while it still holds its first block."
            )
        if self.download.pending_s > _LONGEST_PENDING_S:
            raise HistoryGone(
                f"The leader does not have block {self._next} any more, and has said for {_LONGEST_PENDING_S / 60:g} "
                "minutes that it makes a snapshot: its log says why there is none (`snapshot.write_failed`). Make room "
                "under its DATA_DIR, or mend what it says, and start this follower again."
            )
        if self.download.whole is not None:
            state = self._state_in(self.download.whole)
            self.download = None
            self.feed.end_download()
            if state.block_number > self.engine.block_number:
                self._go_on_from(state)

    def _state_in(self, snapshot: bytes) -> Engine:
        try:
            return snapshots.decode(snapshot)
        except BadFile as error:
            raise HistoryGone(f"The leader's newest snapshot cannot be joined from. {error}") from error

    def _go_on_from(self, state: Engine) -> None:
        if state.epoch < self.engine.epoch:
            raise Diverged(
                f"The leader's snapshot of block {state.block_number} is of epoch {state.epoch}, this follower has "
                f"seen epoch {self.engine.epoch}: {_OTHER_HISTORY}"
            )
        self.engine.become(state)
        self.followed_epoch = state.epoch
        self._begin_ring_after(min(self.leader_confirmed, state.block_number))
        log.info("follower.snapshot_loaded", block=state.block_number)

    def _begin_ring_after(self, number: int) -> None:
        self.ring.reset()
        self.ring.begin_after(number)
        self._forget_what_is_applied()

    # Promotion

    def _consider_promotion(self) -> None:
        asked, self.endpoint.promotions = self.endpoint.promotions, []
        for promotion in asked:
            if self.promotion is not None:
                if promotion.correlation != self.promotion.correlation:
                    self.endpoint.deny(promotion, "This follower is being promoted already.")
            elif self.leader_lives() and not promotion.forced:
                self.endpoint.deny(
                    promotion, f"The leader lives, it was heard {self.feed.silent_for_s():.1f} s ago: {_STOP}"
                )
            else:
                self.promotion = promotion


def follow(follower: Follower, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Turns until `stop()` or until it is to be promoted, over its own sockets and its feed's.

    Raises what `Follower.turn` raises.
    """

    def ends() -> bool:
        return stop() or follower.promotion is not None

    run_turns(follower.turn, follower.publisher, network, [*sockets, *follower.feed.sockets], ends)


def re_executed(engine: Engine, block: Block) -> Block:
    """The block that `engine` makes of another one's block. Raises Diverged unless it is the same, byte for byte."""
    try:
        own = engine.follow(block)
    except BadMessage as error:
        raise Diverged(f"Block {block.number} holds commands that this engine would not take: {error}") from error
    if own.data != block.data:
        raise Diverged(
            f"Block {block.number} gives other bytes here than where it was made: {difference(own, block)}. "
            "Two engines disagree: stop both and keep their blocks, to find out which one is wrong."
        )
    return own

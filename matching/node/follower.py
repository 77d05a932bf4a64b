"""Follower: an engine that re-executes the leader's blocks and publishes the same bytes.

It starts with block 1 or, if the leader no longer has that, with the leader's newest snapshot. It takes no commands
until it is promoted. It stops if its result differs from a block of the leader: then one of the two engines is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from matching.core import layout, snapshots
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
from matching.transport.engine_roles import BEING_PROMOTED
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)

REFUSAL = "This engine follows another one and takes no commands: send them to the leader."
_BLOCKS_A_TURN = 256
_MAX_AHEAD = 4096
_LEADER_ALIVE_S = 2.0
"""A leader is considered alive if it was heard or found within this time."""
_MAX_PENDING_S = 900.0
"""Longer than the ten minutes after which an engine gives up writing a snapshot."""

_OTHER_CHAIN = (
    "the leader's chain differs from this follower's, for example because the leader was restarted without blocks "
    "that only this follower has. Restart this follower to join that chain without them; to keep such blocks, "
    "promote a follower before its leader is started again."
)
_STOP = "stop it first, or use --force."


class CannotFollow(MatchingError):
    """The leader has neither the next blocks nor a snapshot: give it a larger ring, or let it make snapshots."""


@dataclass
class Follower:
    """A follower with injected dependencies."""

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
    """A promotion to be decided: if set, the loop ends, and its caller grants or refuses it."""
    followed_epoch: int = 0
    """The newest epoch of the leader's own blocks and snapshot; the engine may have newer ones from the store."""

    def turn(self) -> None:
        """Handles waiting messages and the leader's blocks. Raises Diverged, CannotFollow, BadBlock."""
        for sender, batch, _ in self.endpoint.receive():
            refused = wire.Refused(
                wire.FOLLOWER, REFUSAL, batch.client, batch.first_number, leader=self._known_leader()
            )
            self.endpoint.refuse(sender, refused)
        came = self.feed.receive(0, _BLOCKS_A_TURN)
        for block in came:
            self._keep(block)
        while self._next in self.ahead:
            block = self.ahead.pop(self._next)
            if block.number <= self.engine.block_number:
                self._add_to_ring(block)
            elif not self._apply(block):
                break
        self._compare_heartbeat()
        self._continue_from_snapshot()
        self._request_missing()
        self.feed.announce(self.publisher.addresses)
        self.publisher.serve()
        self.publisher.make_snapshot_if_due(self.engine)
        self.publisher.beat()
        if len(came) < _BLOCKS_A_TURN:  # otherwise more of the leader's blocks may be waiting
            self._consider_promotion()

    @property
    def _next(self) -> int:
        """Number of the block to add to the ring next. It is executed unless the snapshot includes it."""
        return self.ring.last + 1

    @property
    def leader_confirmed(self) -> int:
        """The newest block that settlement has confirmed to the leader, according to the leader's last status."""
        status = self.feed.status()
        return status.confirmed if status else 0

    @property
    def leader_epoch(self) -> int:
        """The newest epoch that the leader has reported."""
        status = self.feed.status()
        return max(self.followed_epoch, status.epoch if status else 0)

    def reason_not_to_lead(self) -> str:
        """Called after catching up with the store: why this engine must not lead yet, or ""."""
        if self.leader_confirmed <= self.engine.block_number:
            return ""
        return (
            f"Settlement has confirmed blocks up to {self.leader_confirmed} and has written them up to "
            f"{self.engine.block_number}: wait until it has written the rest, which no other process has."
        )

    def grant_promotion(self, epoch: int) -> None:
        """Answers the promotion request: this engine leads from now on, in `epoch`."""
        assert self.promotion is not None, "somebody asked"
        self.endpoint.grant(self.promotion, epoch, self.engine.block_number + 1)
        self.promotion = None

    def refuse_promotion(self, sentence: str) -> None:
        """Answers the promotion request with a reason; `follow` may continue."""
        assert self.promotion is not None, "somebody asked"
        self.endpoint.deny(self.promotion, sentence)
        self.promotion = None
        self._discard_applied()

    def _known_leader(self) -> str:
        """Address of the leader, "" if it is not known: a silent leader may have been replaced."""
        return self.feed.leader() if self.leader_is_alive() else ""

    def leader_is_alive(self) -> bool:
        """Whether a message of the leader arrived, or a search found it, within the last seconds."""
        return self.feed.silent_for_s() < _LEADER_ALIVE_S

    # Blocks

    def _keep(self, block: Block) -> None:
        done = self.ring.get(block.number)
        if done is not None and done.hash != block.hash:
            if block.epoch < done.epoch:
                self._ignore(block)
                return
            raise Diverged(f"Block {block.number} came again with other bytes than before: {_OTHER_CHAIN}")
        kept = self.ahead.get(block.number)
        after = max(self.ring.last, self.download.number if self.download else 0)
        if after < block.number <= after + _MAX_AHEAD and (kept is None or kept.epoch <= block.epoch):
            self.ahead[block.number] = block

    def _apply(self, block: Block) -> bool:
        """Applies a block. Returns False if its epoch has ended, so that another block with its number will come."""
        if block.epoch < self.engine.epoch:
            self._ignore(block)
            return False
        if block.prev_hash != self.engine.state_hash and block.computed_hash() == block.hash:
            raise Diverged(f"Block {block.number} does not follow what this engine has: {_OTHER_CHAIN}")
        block.verify(self.engine.block_number + 1, self.engine.state_hash)
        own = re_executed(self.engine, block)
        self.followed_epoch = own.epoch
        self.ring.append(own)
        self._confirm()
        self.counters.commands += own.command_count
        self.counters.events += own.event_count
        self.publisher.publish([own])
        return True

    def _add_to_ring(self, block: Block) -> None:
        """Adds to the ring a block that the snapshot includes: settlement may still need it from this engine."""
        before, engine = self.ring.get(block.number - 1), self.engine
        block.verify(block.number, before.hash if before is not None else block.prev_hash)
        if block.number == engine.block_number and block.hash != engine.state_hash:
            raise Diverged(f"Block {block.number} is not the one that the snapshot was made after: {_OTHER_CHAIN}")
        self.ring.append(block)
        self._confirm()

    def _ignore(self, block: Block) -> None:
        """Ignores a block of an epoch that has ended, from a leader that does not know this yet."""
        self.counters.refused_blocks += 1
        self.requested_up_to = 0  # request the block of the newer epoch

    def _confirm(self) -> None:
        """Marks blocks as confirmed that settlement has confirmed to the leader; this ring, too, keeps the others.

        A ring smaller than the leader's keeps as many as it can: a follower never halts, only its leader does.
        """
        self.ring.confirm(min(self.leader_confirmed, self.ring.last))
        while self.ring.full:
            self.ring.confirm(self.ring.confirmed + 1)

    def _discard_applied(self) -> None:
        """Discards received blocks that the engine got in another way."""
        self.ahead = {number: block for number, block in self.ahead.items() if number >= self._next}
        self.requested_up_to = 0

    def _compare_heartbeat(self) -> None:
        """Detects a leader that restarted without blocks that this follower has."""
        status, engine = self.feed.status(), self.engine
        if status is None or status.epoch < engine.epoch:
            return
        lost = status.epoch > engine.epoch and status.block_number < engine.block_number
        other = status.block_number == engine.block_number and status.state_hash != engine.state_hash
        if lost or other:
            raise Diverged(
                f"The leader is in epoch {status.epoch} at block {status.block_number} with hash "
                f"{status.state_hash:016x}, this follower at block {engine.block_number} with hash "
                f"{engine.state_hash:016x}: {_OTHER_CHAIN}"
            )

    def _request_missing(self) -> None:
        missing, following = self.feed.missing(), self._next
        if self.download is not None:
            return
        if missing is not None and missing[0] == following <= self.engine.block_number:
            # The leader has dropped blocks that the snapshot includes, as settlement has confirmed them.
            self._begin_ring_after(min(max(missing[1] - 1, following), self.engine.block_number))
            following = self._next
        elif missing is not None and missing[0] == following <= self.feed.newest():
            self.download = self.feed.download()
            return
        # A corrupted block number may have caused a request beyond the newest block; the next heartbeat corrects it.
        self.requested_up_to = min(self.requested_up_to, self.feed.newest())
        upto = min(self.ahead, default=self.feed.newest() + 1) - 1
        if following <= upto and (self.requested_up_to < following or missing is not None):
            self.feed.request(following, upto)
            self.requested_up_to = upto

    # Joining

    def _continue_from_snapshot(self) -> None:
        """Continues from the leader's snapshot once it is complete."""
        if self.download is None:
            return
        missing = self.feed.missing()
        if missing is not None:
            raise CannotFollow(
                f"The leader no longer has block {self.engine.block_number + 1}, its oldest is {missing[1]}. It makes "
                "no snapshots, so a follower must be started while the leader still has its first block."
            )
        if self.download.pending_s > _MAX_PENDING_S:
            raise CannotFollow(
                f"The leader no longer has block {self._next}, and has not finished a snapshot for "
                f"{_MAX_PENDING_S / 60:g} minutes: its log gives the reason (`snapshot.write_failed`). Correct that, "
                "for example free space under its DATA_DIR, and start this follower again."
            )
        if self.download.whole is not None:
            state = self._state_in(self.download.whole)
            self.download = None
            self.feed.end_download()
            if state.block_number > self.engine.block_number:
                self._continue_from(state)

    def _state_in(self, snapshot: bytes) -> Engine:
        try:
            state = snapshots.decode(snapshot)
        except BadFile as error:
            raise CannotFollow(f"The leader's newest snapshot cannot be used. {error}") from error
        if state.layout_version != layout.LAYOUT_VERSION:
            raise CannotFollow(
                f"The leader's newest snapshot has record layout {state.layout_version}, this program makes blocks of "
                f"layout {layout.LAYOUT_VERSION}: run manage.py migrate_layout and start the leader with this version."
            )
        return state

    def _continue_from(self, state: Engine) -> None:
        if state.epoch < self.engine.epoch:
            raise Diverged(
                f"The leader's snapshot of block {state.block_number} is of epoch {state.epoch}, but this follower has "
                f"seen epoch {self.engine.epoch}: {_OTHER_CHAIN}"
            )
        self.engine.take_over_state(state)
        self.followed_epoch = state.epoch
        self._begin_ring_after(min(self.leader_confirmed, state.block_number))
        log.info("follower.snapshot_loaded", block=state.block_number)

    def _begin_ring_after(self, number: int) -> None:
        self.ring.reset()
        self.ring.begin_after(number)
        self._discard_applied()

    # Promotion

    def _consider_promotion(self) -> None:
        asked, self.endpoint.promotions = self.endpoint.promotions, []
        for promotion in asked:
            if self.promotion is not None:
                if promotion.correlation != self.promotion.correlation:
                    self.endpoint.deny(promotion, BEING_PROMOTED)
            elif self.leader_is_alive() and not promotion.forced:
                self.endpoint.deny(
                    promotion,
                    f"The leader is alive, its last message came {self.feed.silent_for_s():.1f} s ago: {_STOP}",
                )
            else:
                self.promotion = promotion


def follow(follower: Follower, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Runs turns until `stop()` or until a promotion is to be decided.

    Raises what `Follower.turn` raises.
    """

    def ends() -> bool:
        return stop() or follower.promotion is not None

    def idle_s() -> float:
        return min(follower.publisher.idle_s, follower.endpoint.idle_s)

    run_turns(follower.turn, idle_s, network, [*sockets, *follower.feed.sockets], ends)


def re_executed(engine: Engine, block: Block) -> Block:
    """Re-executes a block of another engine. Raises Diverged unless the result is the same, byte for byte."""
    try:
        own = engine.follow(block)
    except BadMessage as error:
        raise Diverged(f"Block {block.number} contains commands that this engine refuses: {error}") from error
    if own.data != block.data:
        raise Diverged(
            f"Re-execution of block {block.number} gives other bytes: {difference(own, block)}. "
            "Two engines disagree: stop both and keep their blocks, to find out which one is wrong."
        )
    return own

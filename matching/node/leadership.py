"""How an engine comes to make blocks: it recovers, and begins an epoch in the store that fences whoever led before.

A leader begins one of its own. The replicas of a log share the log's: the first one begins it, the others join.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matching.core.engine import Engine
from matching.core.epochs import Epoch, newest
from matching.core.errors import BadMessage, MatchingError
from matching.core.timestamps import usable_ns
from matching.node.recovery import CannotLead, Recovered, Recovery, Stopped
from matching.node.services import Services
from matching.storage.history import History, HistoryUnavailable
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.roles import LEADER
from matching.transport.sockets import Kind, Undelivered

_ASK_HOLDER_S = 1.0
_CORRELATION = b"who-leads"


Objection = Callable[[Epoch | None], str]
"""Of the newest epoch: why an engine that has caught up should not lead, "" when nothing speaks against it."""


def take_lead(
    engine: Engine,
    ring: Ring,
    addresses: wire.Addresses,
    services: Services,
    *,
    objection: Objection = lambda holder: "",
    stop: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Brings `engine`, fresh or a follower's, to the newest durable block and begins an epoch there.

    `objection` is asked in between.
    Raises Stopped as soon as `stop()`, without an epoch; CannotLead, LogUnusable, HistoryUnavailable, and `ring` and
    `engine` then stand at a block of the chain, and may go on as a follower's; Diverged, BadBlock.
    """
    history = services.history
    is_follower = engine.block_number > 0  # it followed an engine that led, and so an epoch has begun
    recovery = Recovery(engine, ring, history, services.input_log, services.monotonic, stop)
    with _claim_withdrawn_on_failure(history):
        while True:
            epochs = history.epochs()
            holder = newest(epochs)
            if holder is not None:
                _refuse_if_led(holder, addresses, services)
            recovery.run(epochs, services.snapshotter.folder)
            _refuse_other_store(engine, holder.number if holder is not None else int(not is_follower), history)
            if stop():
                raise Stopped
            reason = objection(holder)
            if reason:
                raise CannotLead(reason)
            epoch = _next_epoch(holder, engine, addresses, services.engine, services)
            if history.begin_epoch(epoch):
                engine.epoch = epoch.number
                return recovery.recovered


def take_part(
    engine: Engine,
    ring: Ring,
    addresses: wire.Addresses,
    services: Services,
    log_identity: str,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Brings a fresh `engine` to the newest durable block and into its log's epoch, which it begins if there is none.

    `addresses` are this replica's. Raises what `take_lead` raises.
    """
    history = services.history
    recovery = Recovery(engine, ring, history, services.input_log, services.monotonic, stop)
    with _claim_withdrawn_on_failure(history):
        while True:
            epochs = history.epochs()
            holder = newest(epochs)
            joins = holder is not None and holder.engine == log_identity
            if holder is not None and not joins and not services.take_over:
                raise CannotLead(
                    f"Engine {holder.engine} at {holder.commands} leads (epoch {holder.number}), and it does not read "
                    f"the log {log_identity}: start this one with --take-over when that engine is gone for good."
                )
            recovery.run(epochs, services.snapshotter.folder)
            if stop():
                raise Stopped
            if holder is not None and joins:
                _refuse_if_behind(engine, holder, history)
                history.withdraw()
                engine.epoch = holder.number
                return recovery.recovered
            epoch = _next_epoch(holder, engine, addresses, log_identity, services)
            if history.begin_epoch(epoch):
                engine.epoch = epoch.number
                return recovery.recovered


@contextmanager
def _claim_withdrawn_on_failure(history: History) -> Iterator[None]:
    """An engine that does not come to lead withdraws the claim on the spill that its recovery made."""
    try:
        yield
    except HistoryUnavailable:
        raise  # the epoch may have begun, and then the claim counts
    except MatchingError:
        history.withdraw()
        raise


def _refuse_if_behind(engine: Engine, holder: Epoch, history: History) -> None:
    """The log goes on from the block that its epoch begins after: on any other one it would make another chain."""
    last = holder.first_block - 1
    if engine.block_number < last:
        raise CannotLead(
            f"The store lacks blocks up to {last}, which epoch {holder.number} begins after, and this replica has "
            f"those up to {engine.block_number}: let settlement drain its spill first."
        )
    known = engine.state_hash if engine.block_number == last else history.hash_of(last)
    if known is not None and known != holder.prev_hash:
        raise CannotLead(
            f"Block {last} is another one here than the one that epoch {holder.number} begins after: this store, or "
            "this engine's snapshot, is not of that log's exchange. Give it the one that settlement writes to."
        )


def _next_epoch(
    holder: Epoch | None, engine: Engine, addresses: wire.Addresses, name: str, services: Services
) -> Epoch:
    """The one that begins after the engine's newest block."""
    return Epoch(
        number=holder.number + 1 if holder is not None else 1,
        first_block=engine.block_number + 1,
        prev_hash=engine.state_hash,
        engine=name,
        commands=addresses.commands,
        blocks=addresses.blocks,
        retransmission=addresses.retransmission,
        began_at_ns=usable_ns(services.time_ns()),
    )


def _refuse_other_store(engine: Engine, known: int, history: History) -> None:
    """An epoch fences nobody in a store that knows nothing of this engine's blocks; `known`: its newest epoch."""
    if engine.block_number and engine.epoch > known and history.hash_of(engine.block_number) is None:
        raise CannotLead(
            f"This engine has blocks of epoch {engine.epoch}, its store knows epochs up to {known}: that is not the "
            "store that these blocks belong to, or an older copy. Give it the one that settlement writes to "
            "(DATABASE_URL)."
        )


def _refuse_if_led(holder: Epoch, own: wire.Addresses, services: Services) -> None:
    if holder.engine != services.engine:
        if not services.take_over:
            raise CannotLead(
                f"Engine {holder.engine} at {holder.commands} leads (epoch {holder.number}): start this one with "
                f"--follow {holder.commands}, or with --take-over when that engine is gone for good."
            )
    elif holder.commands != own.commands and _leads(holder.commands, services):
        raise CannotLead(
            f"This engine leads already, at {holder.commands}: it was started twice. Stop one of the two, or start "
            "this one with a DATA_DIR of its own and --follow."
        )


def _leads(address: str, services: Services) -> bool:
    """Whether a leader answers there, soon."""
    network = services.make_network()
    socket = network.connect(Kind.DEALER, address, wire.READER_LIMITS)
    try:
        socket.send(wire.STATUS, _CORRELATION)
        deadline_s = services.monotonic() + _ASK_HOLDER_S
        while (left_s := deadline_s - services.monotonic()) > 0:
            if not network.wait((socket,), left_s):
                continue
            frames = socket.receive()
            if frames is not None and len(frames) > 1 and frames[0] == wire.STATUS:
                return wire.decode_status(frames[1]).role == LEADER
    except (BadMessage, Undelivered):
        return False  # another version's, or nobody
    finally:
        socket.close()
        network.close()
    return False

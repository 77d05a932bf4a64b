"""Leadership: an engine recovers, then begins an epoch in the store, which fences the previous leader.

Each leader begins its own epoch. The replicas of a log share one: the first replica begins it, the others join it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matching.core.engine import Engine
from matching.core.epochs import Epoch, newest
from matching.core.errors import BadMessage, MatchingError
from matching.node.recovery import CannotLead, Recovered, Recovery, Stopped
from matching.node.services import Services
from matching.storage.history import History, HistoryUnavailable
from matching.storage.ring import Ring
from matching.storage.timestamps import usable_ns
from matching.transport import wire
from matching.transport.engine_roles import LEADER
from matching.transport.sockets import Kind, Undelivered

_ASK_HOLDER_S = 1.0
_CORRELATION = b"who-leads"


Objection = Callable[[Epoch | None], str]
"""Called with the newest epoch: returns why an engine that has caught up must not lead, or ""."""


def take_lead(
    engine: Engine,
    ring: Ring,
    addresses: wire.Addresses,
    services: Services,
    *,
    objection: Objection = lambda holder: "",
    stop: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Brings `engine`, a new one or a follower's, to the newest durable block and begins an epoch there.

    `objection` is called after the recovery.
    Raises Stopped if `stop()`, before an epoch begins; CannotLead, LogUnusable, HistoryUnavailable, after which `ring`
    and `engine` are at a block of the chain and may continue as a follower's; Diverged, BadBlock.
    """
    history = services.history
    is_follower = engine.block_number > 0  # it followed a leader, so there must be an epoch
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


def join_epoch(
    engine: Engine,
    ring: Ring,
    addresses: wire.Addresses,
    services: Services,
    log_identity: str,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Brings a new `engine` to the newest durable block and joins its log's epoch, or begins it if there is none.

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
                    f"the log {log_identity}: start this one with --take-over if that engine will not come back."
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
    """Withdraws the claim on the spill, which the recovery made, if the engine does not become leader."""
    try:
        yield
    except HistoryUnavailable:
        raise  # the epoch may have begun, so the claim must stay
    except MatchingError:
        history.withdraw()
        raise


def _refuse_if_behind(engine: Engine, holder: Epoch, history: History) -> None:
    """Refuses an engine that is not at the chain on which the log's epoch began: it would make other blocks."""
    last = holder.first_block - 1
    if engine.block_number < last:
        raise CannotLead(
            f"Epoch {holder.number} begins after block {last}, but the store and this replica have blocks only up to "
            f"{engine.block_number}: let settlement drain its spill first."
        )
    known = engine.state_hash if engine.block_number == last else history.hash_of(last)
    if known is not None and known != holder.prev_hash:
        raise CannotLead(
            f"Block {last} here differs from the one that epoch {holder.number} begins after: this store, or this "
            "engine's snapshot, belongs to another exchange. Use the store that settlement writes to."
        )


def _next_epoch(
    holder: Epoch | None, engine: Engine, addresses: wire.Addresses, name: str, services: Services
) -> Epoch:
    """The epoch that begins after the engine's newest block."""
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
    """Refuses a store without this engine's blocks: an epoch there would fence nobody. `known`: its newest epoch."""
    if engine.block_number and engine.epoch > known and history.hash_of(engine.block_number) is None:
        raise CannotLead(
            f"This engine has blocks of epoch {engine.epoch}, but its store has epochs up to {known} only: it is "
            "another store or an older copy. Use the store that settlement writes to (DATABASE_URL)."
        )


def _refuse_if_led(holder: Epoch, own: wire.Addresses, services: Services) -> None:
    if holder.engine != services.engine:
        if not services.take_over:
            raise CannotLead(
                f"Engine {holder.engine} at {holder.commands} leads (epoch {holder.number}): start this one with "
                f"--follow {holder.commands}, or with --take-over if that engine will not come back."
            )
    elif holder.commands != own.commands and _leads(holder.commands, services):
        raise CannotLead(
            f"This engine leads already, at {holder.commands}: it was started twice. Stop one of the two, or start "
            "this one with its own DATA_DIR and --follow."
        )


def _leads(address: str, services: Services) -> bool:
    """Whether a leader answers at `address` within a second."""
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
        return False  # another version, or no engine
    finally:
        socket.close()
        network.close()
    return False

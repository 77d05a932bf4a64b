"""Defects to plant, which the simulator must find: `manage.py simulate --seeds 1-200 --defect NAME`.

While a defect is planted, it replaces one function or a few; production code contains none of it. Each defect is a
realistic mistake that unit tests of the function alone would not find.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any
from unittest import mock

from exchange_site.engine_host.store_history import StoreHistory
from matching.client.in_flight import Requests
from matching.core import clients, snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadFile, HashMismatch
from matching.node import process, server
from matching.node.recovery import Recovery
from matching.node.retransmission import confirmations
from matching.storage import ring, snapshot_files
from matching.storage.segments import Segments
from matching.transport import permissions
from matching.transport.key_register import RegisteredKey
from matching.transport.sockets import ALL_ROLES
from settlement.durable import appending, spill
from settlement.project import dead_letters, projector, trail
from settlement.receive import executor
from settlement.stores import retrying
from settlement.stores.base import Projection, StoreUnavailable
from settlement.stores.sql import statements, store
from simulator.planted.order_defects import ORDER_DEFECTS


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plants the defect of that name for the duration of the block. Must not be nested."""
    with ExitStack() as stack:
        for patch in DEFECTS[name]():
            stack.enter_context(patch)
        yield


def _returning(value: object) -> Callable[..., object]:
    """A function that only returns `value`."""

    def give(*arguments: object) -> object:
        return value

    return give


def _answer_before_fsync() -> Iterator[Any]:
    def write(self: Segments, file: Any, record: bytes) -> None:
        file.write(record)

    yield mock.patch.object(Segments, "_write", write)


def _tail_not_made_durable() -> Iterator[Any]:
    """Data that a dead process had written but not synced is treated as durable."""

    def settle(self: Segments, path: Any, good: bytes) -> None:
        file = self._disk.append_to(path)
        if file.size > len(good):
            file.truncate(len(good))
            file.sync()
        file.close()

    yield mock.patch.object(Segments, "_rewrite", settle)


def _torn_tail_stays() -> Iterator[Any]:
    yield mock.patch.object(Segments, "_rewrite", _returning(None))


def _confirm_before_append() -> Iterator[Any]:
    real = appending.Appending.add_blocks

    def add_blocks(self: appending.Appending, blocks: Any) -> None:
        real(self, blocks)
        self._confirm(self.head)

    yield mock.patch.object(appending.Appending, "add_blocks", add_blocks)


def _skip_hash_check() -> Iterator[Any]:
    def verify(self: Block, number: int, prev_hash: int) -> None:
        if self.number != number:
            raise HashMismatch(f"Expected block {number}, received block {self.number}.")

    yield mock.patch.object(Block, "verify", verify)
    yield from _events_not_re_executed()  # which would find a changed block as well


def _ignore_epoch() -> Iterator[Any]:
    for module in (
        "settlement.receive.chain",
        "settlement.durable.appending",
        "matching.node.recovery",
        "exchange_site.engine_host.store_history",
    ):
        yield mock.patch(f"{module}.admits", _returning(True))
    yield mock.patch.object(store.SqlStore, "_refuse_fenced", _returning(None))


def _epoch_begins_anywhere() -> Iterator[Any]:
    """An engine has read the store before settlement's last append, and its epoch is stored without a check."""
    read = StoreHistory._read

    def read_early(self: StoreHistory, first: int) -> list[Block]:
        last = vars(self).setdefault("read_up_to", self._store.appended().block_number - 1)
        return [block for block in read(self, first) if block.number <= last]

    def begin_epoch(self: store.SqlStore, epoch: Any) -> None:
        with self._session.transaction():
            if epoch not in self.epochs():
                self._session.write("engine_epochs", statements.PUT_EPOCH, [store._epoch_row(epoch)])

    yield mock.patch.object(StoreHistory, "_read", read_early)
    yield mock.patch.object(store.SqlStore, "begin_epoch", begin_epoch)


def _checkpoint_before_projection() -> Iterator[Any]:
    def project(self: projector.Projections, blocks: list[Block]) -> retrying.StoreWork[None]:
        projection = yield from self._retrier(lambda: self._projector.project(blocks))
        self._trail.append(projection.trades, self._projector.registry)
        yield from self._retrier(lambda: self._store.insert_batch(projector._nothing_of(projection)))
        yield from self._retrier(lambda: self._store.insert_rows(projection))
        self.projected = projection.checkpoint

    yield mock.patch.object(projector.Projections, "_project", project)


def _forget_clients_in_snapshot() -> Iterator[Any]:
    """Requests repeated after a recovery are applied again."""
    real = snapshots.decode

    def decode(data: bytes) -> Engine:
        engine = real(data)
        engine.clients = clients.Clients()
        return engine

    yield mock.patch.object(snapshots, "decode", decode)


def _increment_balances() -> Iterator[Any]:
    """A balance is incremented by its entries instead of being set to its value."""
    real = store.SqlStore._put_rows

    def put_rows(self: store.SqlStore, projection: Projection) -> None:
        real(self, projection._replace(balances=()))
        added: Counter[tuple[int, str]] = Counter()
        for entry in projection.ledger_events:
            added[entry.account, entry.asset] += entry.delta_available
        for balance in projection.balances:
            known = self.get_balances([(balance.account, balance.asset)])
            available = (known[0].available if known else 0) + added[balance.account, balance.asset]
            self._session.write("balances", statements.PUT_BALANCE, [balance._replace(available=available)])

    yield mock.patch.object(store.SqlStore, "_put_rows", put_rows)


def _drop_last_of_spill() -> Iterator[Any]:
    real = spill.Spill._write

    def write(self: spill.Spill, blocks: Sequence[Block]) -> bool:
        return real(self, blocks[:-1]) if len(blocks) > 1 else True

    yield mock.patch.object(spill.Spill, "_write", write)


def _accept_empty_snapshot() -> Iterator[Any]:
    real = snapshot_files.SnapshotFolder.load

    def load(self: snapshot_files.SnapshotFolder, number: int) -> Engine:
        try:
            return real(self, number)
        except BadFile:
            engine = Engine()
            engine.block_number = number
            return engine

    yield mock.patch.object(snapshot_files.SnapshotFolder, "load", load)
    yield mock.patch.object(Recovery, "_why_unusable", _returning(""))


def _accept_newer_snapshot() -> Iterator[Any]:
    """A snapshot is used although its block is not durable anywhere."""
    yield mock.patch.object(Recovery, "_why_unusable", _returning(""))


def _forget_requests() -> Iterator[Any]:
    """A client's last number is not stored, so a repeated request is applied again."""
    real = Engine.apply

    def apply(self: Engine, *arguments: Any, **options: Any) -> Block:
        known = deepcopy(self.clients)
        block = real(self, *arguments, **options)
        if block.number % 5 == 0:
            self.clients = known
        return block

    yield mock.patch.object(Engine, "apply", apply)


def _digest_not_compared() -> Iterator[Any]:
    """A request number that was used before counts as the same batch, whatever it contains."""
    real = clients.Client.judge

    def judge(self: clients.Client, first_number: int, count: int, owner: int, digest: int) -> clients.Judged:
        judged = real(self, first_number, count, owner, digest)
        if judged.reason != clients.REQUEST_MISMATCH:
            return judged
        return clients.Judged(applied=min(count, self.last_number - first_number + 1))

    yield mock.patch.object(clients.Client, "judge", judge)


def _forgotten_client_let_in() -> Iterator[Any]:
    """A client id that was forgotten may begin again."""
    yield mock.patch.object(clients.Clients, "floor_of", _returning(0))


def _window_of_unanswered_batches() -> Iterator[Any]:
    """A client limits its unanswered batches, but not those that it sends after the oldest one."""
    yield mock.patch.object(Requests, "is_full", property(lambda self: len(self) >= clients.WINDOW))


def _take_silence_for_success() -> Iterator[Any]:
    """A write to a store that does not answer is treated as done."""

    def call(self: retrying.StoreRetrier, action: Callable[[], Any]) -> retrying.StoreWork[Any]:
        try:
            return action()
        except StoreUnavailable:
            return (yield from real(self, action)) if "append" not in action.__qualname__ else None

    real = retrying.StoreRetrier.__call__
    yield mock.patch.object(retrying.StoreRetrier, "__call__", call)


def _lose_dead_letter() -> Iterator[Any]:
    yield mock.patch.object(dead_letters.DeadLetters, "put", _returning(None))


def _repeat_trail() -> Iterator[Any]:
    """Lines that are already in the trail are written again."""
    real = trail.Trail.append

    def append(self: trail.Trail, trades: Any, registry: Any) -> None:
        self.last_trade_id = 0
        real(self, trades, registry)

    yield mock.patch.object(trail.Trail, "append", append)


def _shorten_log_too_early() -> Iterator[Any]:
    """The log drops blocks that no snapshot covers and settlement has not confirmed."""

    def shorten(self: server.Leader) -> None:
        self.input_log.drop_before(self.ring.last + 1)

    yield mock.patch.object(server.Leader, "_shorten_log", shorten)


def _drop_unconfirmed() -> Iterator[Any]:
    """The ring makes room by dropping unconfirmed blocks."""

    def make_room(self: ring.Ring) -> None:
        while len(self._blocks) > 20:
            block = self._blocks.pop(self._first)
            self._first += 1
            self.size_bytes -= len(block.data)
            self.confirmed = max(self.confirmed, block.number)
            self.index()
            self._forget_requests(block)

    yield mock.patch.object(ring.Ring, "_make_room", make_room)


def _clock_runs_back() -> Iterator[Any]:
    """Blocks have the clock's time even if it runs backwards."""
    for module in ("matching.node.sequencer", "matching.core.engine"):
        yield mock.patch(f"{module}.max", lambda *values, **options: values[-1], create=True)


def _answer_what_is_not_logged() -> Iterator[Any]:
    """If the disk is full, commands are answered although the log does not have them."""
    real = server.Leader._log

    def log(self: server.Leader, turn: Any) -> None:
        self._answer_and_publish(turn)
        real(self, turn)

    yield mock.patch.object(server.Leader, "_log", log)


def _confirmation_believed() -> Iterator[Any]:
    """A confirmation counts whatever store and hash it names, and shortens the log."""

    def take(self: confirmations.Confirmations, peer: bytes, told: Any) -> None:
        self._ring.confirm(told.number)
        self.stored = max(self.stored, self._ring.confirmed)

    yield mock.patch.object(confirmations.Confirmations, "take", take)


def _role_not_checked() -> Iterator[Any]:
    """Whoever may connect may send any message and any command."""
    yield mock.patch.object(permissions, "check_message", _returning(None))
    yield mock.patch.object(permissions, "check_commands", _returning(None))


def _revocation_not_checked() -> Iterator[Any]:
    """A key that was revoked keeps its role as long as it stays connected."""

    def active(peer: RegisteredKey | None) -> RegisteredKey:
        if peer is None:
            raise permissions.NotPermitted("This key is not in the key register: register it with make_keys.")
        return peer

    yield mock.patch.object(permissions, "_active", active)


def _any_role_admitted() -> Iterator[Any]:
    """Every registered key may connect to the sockets of blocks."""
    for readers in ("BLOCK_READERS", "RETRANSMISSION_READERS"):
        yield mock.patch.object(process, readers, ALL_ROLES)


def _events_not_re_executed() -> Iterator[Any]:
    """Settlement believes the events of a block whose hash is right."""

    def execute(self: executor.Executor, block: Block, name: str, remedy: str) -> None:
        self._engine.block_number, self._engine.state_hash = block.number, block.hash

    yield mock.patch.object(executor.Executor, "_execute", execute)


DEFECTS: dict[str, Callable[[], Iterator[Any]]] = {
    plant.__name__.removeprefix("_").replace("_", "-"): plant
    for plant in (
        _answer_before_fsync,
        _tail_not_made_durable,
        _torn_tail_stays,
        _answer_what_is_not_logged,
        _shorten_log_too_early,
        _forget_clients_in_snapshot,
        _accept_empty_snapshot,
        _accept_newer_snapshot,
        _forget_requests,
        _digest_not_compared,
        _forgotten_client_let_in,
        _window_of_unanswered_batches,
        _clock_runs_back,
        _drop_unconfirmed,
        _skip_hash_check,
        _ignore_epoch,
        _epoch_begins_anywhere,
        _confirm_before_append,
        _take_silence_for_success,
        _drop_last_of_spill,
        _checkpoint_before_projection,
        _increment_balances,
        _lose_dead_letter,
        _repeat_trail,
        _confirmation_believed,
        _role_not_checked,
        _revocation_not_checked,
        _any_role_admitted,
        _events_not_re_executed,
        *ORDER_DEFECTS,
    )
}
"""Function that plants the defect, by name."""

"""The engine: a replicated state machine. The same requests and commands give the same blocks, byte for byte.

It uses no clock, socket or file; the caller of `apply` passes the timestamp. The registry holds reference data (assets,
instruments and their status), the kernel everything else.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from matching.core import kernel, layout, migrations
from matching.core.blocks import Block, Records
from matching.core.clients import MIGRATION_CLIENT, Clients, Request
from matching.core.codes import (
    AMOUNT_LIMIT,
    HOUSE_ACCOUNT,
    CommandFlag,
    CommandKind,
    EventKind,
    Reason,
    Side,
    is_definition,
)
from matching.core.errors import BadMessage
from matching.core.hashes import hash_text
from matching.core.intake import check, check_definition, check_form
from matching.core.kernel import limits
from matching.core.kernel.constants import MAX_PIECES
from matching.core.kernel.structures import pools as p
from matching.core.migrations.state import digest_of
from matching.core.reading.open_orders import OpenOrder, PendingOrder, orders_in_books, orders_that_wait
from matching.core.registry import Instrument, Registry

_RESERVED_COMMANDS = 1024
"""Memory is reserved for this many commands at a time, not for each block."""
_EVENTS_BESIDE = 64
"""Upper limit of a command's events that are not of makers or pieces it meets."""
_FIRST_LAYOUT_WITH_OWNERS = 2
"""In layout 1, requests had no owner and no digest that could be checked."""

UNLIMITED = (1 << 62) - 1
"""A budget that no block exceeds."""

_EVENT_KINDS = {
    CommandKind.ASSET: EventKind.ASSET_ADDED,
    CommandKind.INSTRUMENT: EventKind.INSTRUMENT_ADDED,
    CommandKind.INSTRUMENT_STATUS: EventKind.INSTRUMENT_STATUS_CHANGED,
}

_INSTRUMENT_FIELDS = (
    "quote_unit",
    "lot_units",
    "min_quantity",
    "max_quantity",
    "min_notional",
    "maker_fee",
    "taker_fee",
    "price_band",
    "max_open_orders",
)
_UPDATED_FIELDS = _INSTRUMENT_FIELDS[2:]


class Engine:
    def __init__(self, *, shard: int = 0, epoch: int = 1) -> None:
        self.shard = shard
        self.epoch = epoch
        self.registry = Registry()
        self.clients = Clients()
        self.layout_version = layout.LAYOUT_VERSION
        self.block_number = 0
        self.state_hash = 0
        self.timestamp_ns = 0
        self.touched = 0  # events written and orders looked at in the last block
        self.pools = kernel.empty_pools()
        self._reserved = 0  # number of commands for which memory is reserved
        self._events = np.empty(0, layout.EVENT)
        self._accepted = np.zeros(0, np.uint8)  # for each command of the block, 1: it was accepted

    def take_over_state(self, other: "Engine") -> None:
        """Takes over the state of `other`, which must not be used any more. References to this engine stay valid."""
        vars(self).update(vars(other))

    @property
    def next_command_sequence(self) -> int:
        return int(self.pools.state.item(p.NEXT_COMMAND_SEQUENCE))

    @property
    def next_event_sequence(self) -> int:
        return int(self.pools.state.item(p.NEXT_EVENT_SEQUENCE))

    def check(self, commands: Records, texts: bytes) -> None:
        """Raises BadMessage for records (a writable array) that a correct edge never produces."""
        check(commands, texts, self.registry)

    def check_form(self, commands: Records, texts: bytes) -> None:
        """Like `check`, but accepts assets and instruments that this engine does not know."""
        check_form(commands, texts, self.registry)

    def apply(
        self, requests: Records, commands: Records, texts: bytes, timestamp_ns: int, budget: int = UNLIMITED
    ) -> Block:
        """Applies COMMAND records (a writable array) that passed `check` as the next block.

        Events written and orders looked at are counted in `touched`. The block ends with the command that exceeds
        `budget`, or when it holds MAX_BLOCK_EVENTS (see `kernel.limits`): the caller sees from the block how many
        commands were applied. The two records of a one-cancels-other are always in one block.

        `requests` (REQUEST records) assign them to clients, in order. Only the last command may change reference data.
        The block's time is `timestamp_ns`, or that of the previous block if that is later.
        """
        self._reserve(len(commands))
        first_command, first_event = self.next_command_sequence, self.next_event_sequence
        requested = requests.tolist()
        self._tell_whether_previous_was_accepted(requested)
        count, looked_at = self._process(commands, budget)
        self.touched = count + looked_at
        if self.pools.state[p.UNUSUAL]:
            count += self._finish_unusual_block(commands, texts, count)
        applied = self.next_command_sequence - first_command
        if applied < len(commands):
            requests, commands, texts = _first(applied, requests, commands, texts)
            requested = requests.tolist()
        self.timestamp_ns = max(self.timestamp_ns, timestamp_ns)
        block = Block.encode(
            number=self.block_number + 1,
            timestamp_ns=self.timestamp_ns,
            first_command_sequence=first_command,
            first_event_sequence=first_event,
            prev_hash=self.state_hash,
            requests=requests,
            commands=commands,
            events=self._events[:count],
            texts=texts,
            shard=self.shard,
            epoch=self.epoch,
            layout_version=self.layout_version,
        )
        self.block_number, self.state_hash = block.number, block.hash
        self.clients.apply(requested, self._accepted, block.number)
        return block

    def _process(self, commands: Records, budget: int) -> tuple[int, int]:
        """Runs the kernel, with more memory where triggered orders need it. Returns (events, orders looked at)."""
        state, first = self.pools.state, self.next_command_sequence
        count = kernel.process(commands, self._events, self._accepted, self.pools, budget, 0, 0)
        while state[p.PAUSED]:
            done = self.next_command_sequence - first
            self.pools = kernel.reserve(self.pools, len(commands) - done + _RESERVED_COMMANDS)
            count = kernel.process(commands, self._events, self._accepted, self.pools, budget, done, count)
        looked_at = int(state[p.LOOKED_AT])
        state[p.LOOKED_AT] = 0
        return count, looked_at

    def _finish_unusual_block(self, commands: Records, texts: bytes, count: int) -> int:
        """Does what the kernel cannot do after a block with `count` events. Returns the number of further events."""
        state = self.pools.state
        unusual = int(state[p.UNUSUAL])
        state[p.UNUSUAL] = 0
        if unusual & p.HAS_TRIGGERED:  # those orders have used memory that was reserved for commands
            self._reserved = 0
        if unusual & p.HAS_UPDATED_INSTRUMENTS:
            self._refresh_registry(count)
        if unusual & p.IS_AT_DEFINITION:
            self._apply_reference_data(commands[-1], texts, count, len(commands) - 1)
            return 1
        return 0

    def _tell_whether_previous_was_accepted(self, requests: list[Request]) -> None:
        """Tells the kernel whether the client of the block's first command has one before it that was accepted."""
        accepted = False
        for client_id, _, _, _, count, _ in requests[:2]:  # the first one may be a mark without commands
            if count:
                client = self.clients.get(client_id)
                accepted = client is not None and client.accepted
                break
        self.pools.state[p.PREVIOUS_ACCEPTED] = accepted

    def follow(self, block: Block) -> Block:
        """Applies the commands of another engine's block with its timestamp. The caller compares the bytes.

        Of a block of earlier rules, which cannot be executed, the events are applied: it is returned itself. Raises
        BadMessage for commands, requests or events that an engine in this state would not have taken or written.
        """
        if not self.block_number:
            self.layout_version = block.layout_version
        if block.layout_version != self.layout_version:
            return self._follow_migration(block)
        if block.layout_version < migrations.FIRST_LAYOUT_WITH_TRIGGERS:
            return self._take_over_events(block)
        texts = block.texts[: int(block.commands["text_length"].sum(dtype=np.int64))]
        commands = block.commands.copy()  # the kernel is compiled for writable arrays
        self.check(commands, texts)
        if self.layout_version >= _FIRST_LAYOUT_WITH_OWNERS:
            self.clients.check(block.requests.tolist(), block.timestamp_ns)
        _check_beginnings(block.requests, commands)
        self.epoch = block.epoch
        return self.apply(block.requests, commands, texts, block.timestamp_ns)

    def migrate(self, epoch: int) -> Block:
        """Changes to the next layout: makes the block that begins it (see `matching.core.migrations`)."""
        following = self.layout_version + 1
        migrations.MIGRATIONS[following].carry(self)
        self.layout_version, self.epoch = following, epoch
        requests = migrations.migration_request(following, digest_of(self))
        return self.apply(requests, np.zeros(0, layout.COMMAND), b"", self.timestamp_ns)

    def _follow_migration(self, block: Block) -> Block:
        if block.layout_version != self.layout_version + 1:
            raise BadMessage(
                f"Block {block.number} has layout {block.layout_version}, and the block before has layout "
                f"{self.layout_version}: a chain changes to the next layout only."
            )
        if block.layout_version >= migrations.FIRST_LAYOUT_WITH_TRIGGERS:
            return self.migrate(block.epoch)
        if block.command_count or block.requests["client"].tolist() != [MIGRATION_CLIENT]:
            raise BadMessage(f"Block {block.number} begins layout {block.layout_version} and is no migration block.")
        migrations.MIGRATIONS[block.layout_version].carry(self)
        self.layout_version = block.layout_version
        return self._take_over_events(block)  # programs of that layout computed the digest of the state in another way

    def _take_over_events(self, block: Block) -> Block:
        commands, rows = block.commands, block.events
        self._reserve(len(commands))
        assets, instruments = len(self.registry.assets), len(self.registry.instruments)
        is_next = block.first_command_sequence == self.next_command_sequence
        is_next = is_next and block.first_event_sequence == self.next_event_sequence
        count = kernel.apply_events(commands, rows, self.pools, assets, instruments) if is_next else 0
        if is_next and len(commands) and is_definition(int(commands["kind"][-1])):
            check_definition(commands[-1], block.texts, self.registry)
            self._apply_reference_data(commands[-1], block.texts, 0, len(commands) - 1)
            count += self._events[:1].tobytes() == rows[count:].tobytes()
        if not is_next or count != len(rows):
            raise BadMessage(
                f"Event {count + 1} of block {block.number} cannot follow the blocks before: no engine has written it."
            )
        self.epoch, self.timestamp_ns = block.epoch, block.timestamp_ns
        self.block_number, self.state_hash = block.number, block.hash
        self.clients.apply(block.requests.tolist(), np.zeros(len(commands), np.uint8), block.number)
        return block

    def _reserve(self, commands: int) -> None:
        if commands > self._reserved:
            self._reserved = max(commands, _RESERVED_COMMANDS)
            self.pools = kernel.reserve(self.pools, self._reserved)
            events = _most_events(self.pools.state, self._reserved)
            if events > len(self._events):
                self._events = np.empty(events, layout.EVENT)
            if self._reserved > len(self._accepted):
                self._accepted = np.zeros(self._reserved, np.uint8)
        self._reserved -= commands

    def _apply_reference_data(self, command: Any, texts: bytes, count: int, place: int) -> None:
        """Applies the block's last command. `count`: events before it; `place`: its index in the block."""
        kind = CommandKind(int(command["kind"]))
        start = int(command["text_offset"])
        definition = texts[start : start + int(command["text_length"])].decode("ascii")
        identity, reason = self.registry.apply(kind, definition)
        if reason == Reason.NONE:
            if kind == CommandKind.ASSET:
                self.pools = kernel.with_asset(self.pools, identity)
            elif kind == CommandKind.INSTRUMENT:
                self._add_instrument(self.registry.instruments[identity])
            else:
                self.pools.instruments[identity]["status"] = self.registry.statuses[identity]
        self._events[count] = np.zeros((), layout.EVENT)
        event = self._events[count]
        event["sequence"] = self.next_event_sequence
        event["command_sequence"] = self.next_command_sequence
        event["kind"] = _EVENT_KINDS[kind] if reason == Reason.NONE else EventKind.REJECTED
        self._accepted[place] = reason == Reason.NONE
        event["reason"] = reason
        event["instrument"] = identity
        self.pools.state[p.NEXT_COMMAND_SEQUENCE] += 1
        self.pools.state[p.NEXT_EVENT_SEQUENCE] += 1

    def _refresh_registry(self, count: int) -> None:
        """Takes the values of updated instruments over from the kernel. `count`: number of the block's events."""
        events = self._events[:count]
        updated = events["instrument"][events["kind"] == EventKind.INSTRUMENT_UPDATED]
        for identity in np.unique(updated).tolist():
            row = self.pools.instruments[identity]
            self.registry.change_instrument(identity, {name: int(row[name]) for name in _UPDATED_FIELDS})

    def _add_instrument(self, instrument: Instrument) -> None:
        record = np.zeros(1, layout.INSTRUMENT)
        for name in _INSTRUMENT_FIELDS:
            record[name] = getattr(instrument, name)
        record["notional_limit"] = AMOUNT_LIMIT // instrument.quote_unit
        record["quantity_limit"] = AMOUNT_LIMIT // instrument.lot_units
        record["base"], record["quote"] = instrument.base.id, instrument.quote.id
        record["house_base"] = self._house_balance(instrument.base.id)
        record["house_quote"] = self._house_balance(instrument.quote.id)
        self.pools = kernel.with_instrument(self.pools, instrument.id, record)
        self._reserved = 0

    def _house_balance(self, asset: int) -> int:
        """Index of the house account's balance, which is created if it does not exist."""
        self.pools = kernel.reserve(self.pools, 1)
        self._reserved = 0
        return int(kernel.open_balance(self.pools, HOUSE_ACCOUNT, asset))

    # Reading the state

    def balances(self) -> list[tuple[int, str, int, int]]:
        """(account, asset symbol, available, locked) by account and symbol, without rows of two zeros."""
        rows = self.pools.balances[1 : self.pools.state[p.BALANCE_TOP]]
        rows = rows[(rows["available"] != 0) | (rows["locked"] != 0)]
        symbols = np.array([asset.symbol for asset in self.registry.assets], object)
        # Sorted as columns: sorting a million tuples takes seconds, and scatters them in memory.
        rows = rows[np.lexsort((np.argsort(np.argsort(symbols))[rows["asset"]], rows["account"]))]
        columns = (rows["account"], symbols[rows["asset"]], rows["available"], rows["locked"])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def open_orders(self) -> list[OpenOrder]:
        """By symbol, buy before sell, price priority, time priority."""
        return orders_in_books(self.pools, self.registry)

    def pending_orders(self) -> list[PendingOrder]:
        """The orders that wait for their trigger, by order id."""
        return orders_that_wait(self.pools, self.registry)

    def open_order_ids(self) -> npt.NDArray[np.int64]:
        """The ids of all open orders, in no particular order."""
        ids: npt.NDArray[np.int64] = self.pools.orders["order_id"]
        found: npt.NDArray[np.int64] = ids[ids != 0]
        return found

    def depth(self, instrument: Instrument, levels: int) -> dict[str, list[list[int]]]:
        """The best levels of both sides as [price in ticks, lots that are visible], best first."""
        found = {}
        for side, name in ((Side.BUY, "bids"), (Side.SELL, "asks")):
            rows = np.empty((levels, 2), np.int64)
            found[name] = rows[: kernel.list_levels(self.pools, instrument.id, int(side), rows)].tolist()
        return found

    @property
    def open_order_count(self) -> int:
        return int(self.pools.state[p.ORDER_COUNT])


def requires_previous(command: Any) -> bool:
    """Whether a COMMAND record requires that the command before it was accepted."""
    is_order = int(command["kind"]) in (CommandKind.ORDER, CommandKind.OCO)
    return is_order and bool(int(command["flags"]) & CommandFlag.REQUIRES_PREVIOUS)


def _check_beginnings(requests: Records, commands: Records) -> None:
    """Raises BadMessage if a request after a block's first one begins with a command that requires the one before."""
    requests = requests[requests["command_count"] > 0]
    for start in np.cumsum(requests["command_count"], dtype=np.int64)[:-1].tolist():
        if requires_previous(commands[start]):
            raise BadMessage(
                f"Command {start + 1} of the block requires the command before it and begins a request: no engine has "
                "such a command at another place than the beginning of a block."
            )


def _most_events(state: Any, commands: int) -> int:
    """Upper limit of the events of a block of that many commands.

    The last command begins with fewer than MAX_BLOCK_EVENTS. It can end with the events of all open orders: an order in
    the book trades and is cancelled, an order that waits is triggered as well, an iceberg trades piece by piece. Two
    events for each maker or piece that is met and a few for each order are the most, in the command's own work and in
    that of the triggered orders before and after it, which stop at MAX_COMMAND_EVENTS.
    """
    orders, extras = int(state[p.ORDER_COUNT]) + commands, int(state[p.EXTRA_COUNT]) + commands
    of_all_orders = 4 * orders + 2 * MAX_PIECES * extras + _EVENTS_BESIDE
    of_one_command = 2 * limits.MAX_COMMAND_EVENTS + 4 * limits.MAX_MET + _EVENTS_BESIDE
    return limits.MAX_BLOCK_EVENTS + min(of_all_orders, of_one_command)


def _first(count: int, requests: Records, commands: Records, texts: bytes) -> tuple[Records, Records, bytes]:
    """The first `count` commands of a block, with their requests and texts."""
    ends = np.cumsum(requests["command_count"], dtype=np.int64)
    requests = requests[: int(np.searchsorted(ends, count)) + 1].copy()
    requests["command_count"][-1] -= int(ends[len(requests) - 1]) - count
    commands = commands[:count]
    return requests, commands, texts[: int(commands["text_length"].sum(dtype=np.int64))]


def state_digest(text: str) -> str:
    """xxh3_64 of the canonical JSON of balances and open orders, as 16 hex digits (docs/semantics.md, section 7)."""
    return hash_text(xxhash.xxh3_64_intdigest(text.encode()))

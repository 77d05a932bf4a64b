"""Streams of commands for measuring the engine: seeded, as COMMAND records, with what has to be set up before them.

Two shapes: a hot book, all of it within 50 ticks of the mid, and a deep one over ±20,000 ticks. About half the
commands place an order that rests, four in ten cancel, one in ten takes (IOC); the share of cancels keeps the number
of resting orders where it is. The generator lets an engine of its own run along, a chunk behind, and so knows which
orders are open; a few cancels still come too late, as in life.

Every instrument has a base asset of its own and all share one quote asset; everything counts in whole units, a tick
being one, so prices are ticks and quantities lots. Fees are 1000 ppm. An account trades in one instrument.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import CommandKind, EventKind, SelfTradePrevention, Side, TimeInForce
from matching.core.engine import Engine
from matching.core.errors import BadFile, BadMessage
from matching.core.texts import hashes

Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FEE_PPM = 1000
NAME_BYTES = 12
_MID = 100_000
_MOST_LOTS = 100
_MOST_FUNDS = 1 << 50
_MOST_SUPPLY = 1 << 62
_NEAR = 0.1  # of the geometric distribution of distances near the mid, in ticks
_NEAR_TICKS = 50
_CROSSED_TICKS = 5
_TAKING, _CANCELLING = 0.10, 0.40
_MID_MOVES = 0.002
_MOST_INSTRUMENTS = 10_000
_SETUP_BLOCK = 4096
_REFERENCES = (b"quote", b"base_")  # of one length; an account never gives the same one twice

# What a file of order flow holds at least; further fields are ignored.
FLOW_FIELDS = ("kind", "side", "user", "oid", "price", "qty")
_FLOW_LIMIT, _FLOW_CANCEL, _FLOW_IOC = 1, 2, 3


class Shape(NamedTuple):
    """`resting` orders within `width_ticks` of the mid; `near` is the share of new ones that stand close to it."""

    resting: int
    width_ticks: int
    near: float


SHAPES = {"hot": Shape(5_000, 50, 1.0), "deep": Shape(200_000, 20_000, 0.2)}


class Batch(NamedTuple):
    commands: Records
    texts: bytes


@dataclass(frozen=True)
class Stream:
    """COMMAND records and their strings, one after the other in the order of the commands; none is b""."""

    commands: Records
    texts: bytes = b""

    def __len__(self) -> int:
        return len(self.commands)

    def part(self, start: int, stop: int) -> "Stream":
        """The commands from place `start` up to `stop`, with their strings; offsets stay as they are."""
        ends = np.concatenate([[0], np.cumsum(self.commands["text_length"].astype(np.int64))])
        return Stream(self.commands[start:stop], self.texts[int(ends[start]) : int(ends[min(stop, len(self))])])

    def batches(self, size: int) -> Iterator[Batch]:
        """In pieces of `size` commands, each with its own strings."""
        lengths = self.commands["text_length"].astype(np.int64)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for at in range(0, len(self.commands), size):
            commands = self.commands[at : at + size].copy()
            start, end = int(ends[at]), int(ends[at + len(commands)])
            commands["text_offset"] = ends[at : at + len(commands)] - start
            yield Batch(commands, self.texts[start:end])


@dataclass(frozen=True)
class Workload:
    """`setup` is applied before anything is measured: deposits, and the orders that rest at the start."""

    name: str
    instruments: int
    accounts: int
    setup: list[Stream]
    stream: Stream

    def definitions(self) -> list[dict[str, Any]]:
        """Assets and instruments, in the JSON Lines form."""
        return _definitions(self.instruments)

    def engine(self) -> Engine:
        """An engine with the setup done."""
        engine = Engine()
        _define(engine, self.instruments)
        for stream in self.setup:
            _apply(engine, stream)
        return engine


@dataclass
class _Draws:
    """New orders: whose, where, how far from the mid, how many lots."""

    rng: np.random.Generator
    shape: Shape
    instruments: int
    accounts: int
    mid: int = _MID
    mid_moves: float = 0.0  # share of commands before which the mid moves a tick

    def orders(self, taking: Flags, near: float) -> Records:
        """ORDER commands, IOC where `taking`."""
        count = len(taking)
        commands = np.zeros(count, layout.COMMAND)
        moves, half = self.rng.random(count), self.mid_moves / 2
        mids = self.mid + np.cumsum((moves < half).astype(np.int64) - (moves >= 1 - half))
        self.mid = int(mids[-1]) if count else self.mid
        sides = self.rng.integers(0, 2, count)
        away = np.where(taking, -_CROSSED_TICKS, 1 + self._distances(count, near))
        commands["kind"] = CommandKind.ORDER
        commands["side"] = sides
        commands["time_in_force"] = np.where(taking, TimeInForce.IOC, TimeInForce.GTC)
        commands["instrument"] = self.rng.integers(0, self.instruments, count)
        rounds = self.accounts // self.instruments
        commands["account"] = 1 + commands["instrument"] + self.instruments * self.rng.integers(0, rounds, count)
        commands["price"] = mids + np.where(sides == Side.SELL, away, -away)
        commands["quantity"] = self.rng.integers(1, _MOST_LOTS + 1, count)
        return commands

    def _distances(self, count: int, near: float) -> Whole:
        close = np.minimum(self.rng.geometric(_NEAR, count) - 1, _NEAR_TICKS - 1)
        anywhere = self.rng.integers(0, self.shape.width_ticks, count)
        return np.where(self.rng.random(count) < near, close, anywhere)


@dataclass
class _Model:
    """The engine that runs along, and what is known of its orders: by their place among all orders made so far."""

    engine: Engine
    first_order_id: int
    remaining: Whole  # lots, by order_id - first_order_id
    accounts: Whole
    instruments: Whole
    open: Whole = field(default_factory=lambda: np.zeros(0, np.int64))

    def apply(self, stream: Stream) -> None:
        """Runs commands, and sees what is open afterwards."""
        first = self.engine.next_command_sequence - self.first_order_id
        commands = stream.commands
        orders = np.flatnonzero(commands["kind"] == CommandKind.ORDER)
        places = first + orders
        self.remaining[places] = commands["quantity"][orders]
        self.accounts[places] = commands["account"][orders]
        self.instruments[places] = commands["instrument"][orders]
        events = np.concatenate([*_apply(self.engine, stream), np.zeros(0, layout.EVENT)])
        trades = events[events["kind"] == EventKind.TRADE]
        for side in ("order_id", "other_order_id"):
            np.subtract.at(self.remaining, trades[side] - self.first_order_id, trades["quantity"])
        gone = events[events["kind"] == EventKind.ORDER_CANCELLED]["order_id"] - self.first_order_id
        self.remaining[gone] = 0
        known = np.concatenate([self.open, places])
        self.open = known[self.remaining[known] > 0]

    def cancels(self, rng: np.random.Generator, count: int) -> Records:
        """CANCEL commands for orders that were open when last seen."""
        places = rng.choice(self.open, count, replace=False, shuffle=True)
        commands = np.zeros(count, layout.COMMAND)
        commands["kind"] = CommandKind.CANCEL
        commands["order_id"] = self.first_order_id + places
        commands["account"] = self.accounts[places]
        commands["instrument"] = self.instruments[places]
        return commands


def generate(
    name: str, commands: int, *, seed: int = 1, instruments: int = 1, accounts: int = 1000, resting: int | None = None
) -> Workload:
    """A workload of one of SHAPES. `resting` orders in all; by default as many in each instrument as the shape has."""
    shape = SHAPES[name]
    resting = shape.resting * instruments if resting is None else resting
    rng = np.random.default_rng(seed)
    draws = _Draws(rng, shape, instruments, accounts)
    traders = 1 + np.arange(accounts // instruments * instruments, dtype=np.int64)
    funds = deposits(traders, (traders - 1) % instruments, instruments)
    engine = Engine()
    _define(engine, instruments)
    _apply(engine, funds)
    size = resting + commands
    model = _Model(engine, engine.next_command_sequence, *np.zeros((3, size), np.int64))
    # Far from the mid only: what stands near it comes and goes with the stream.
    start = named(draws.orders(np.zeros(resting, np.bool_), shape.near if shape.near == 1 else 0.0), 0)
    model.apply(start)
    draws.mid_moves = _MID_MOVES / instruments
    parts = []
    chunk = max(64, min(1024, resting // 5), resting // 64)
    for at in range(0, commands, chunk):
        parts.append(_mixed(model, draws, min(chunk, commands - at), resting, resting + at))
        model.apply(parts[-1])
    stream = Stream(np.concatenate([part.commands for part in parts]), b"".join(part.texts for part in parts))
    return Workload(name, instruments, len(traders), [funds, start], stream)


def _mixed(model: _Model, draws: _Draws, count: int, resting: int, first_name: int) -> Stream:
    """The next commands: orders, cancels and takers, in random order."""
    surplus = 2.0 * (len(model.open) - resting) / max(1, resting)
    cancelling = _CANCELLING + min(0.1, max(-0.1, surplus))
    kinds = draws.rng.random(count)
    cancels = np.flatnonzero(kinds < cancelling)[: len(model.open) // 2]
    commands = draws.orders(kinds >= 1 - _TAKING, draws.shape.near)
    commands[cancels] = model.cancels(draws.rng, len(cancels))
    return named(commands, first_name)


def pairs(commands: int, accounts: int, first_name: int, *, seed: int = 1) -> Stream:
    """Commands that do little but trade: a limit order at the mid, then an IOC order that takes it, and so on."""
    rng = np.random.default_rng(seed)
    records = np.zeros(commands - commands % 2, layout.COMMAND)
    records["kind"] = CommandKind.ORDER
    records["self_trade_prevention"] = SelfTradePrevention.NONE
    records["price"] = _MID
    sides = rng.integers(0, 2, len(records) // 2)
    lots = rng.integers(1, _MOST_LOTS + 1, len(records) // 2)
    for place, side in ((0, sides), (1, 1 - sides)):
        records["side"][place::2] = side
        records["quantity"][place::2] = lots
        records["account"][place::2] = rng.integers(1, accounts + 1, len(lots))
    records["time_in_force"][1::2] = TimeInForce.IOC
    return named(records, first_name)


def named(commands: Records, first: int) -> Stream:
    """Gives every order a client order id: its number, from `first` on, as decimal digits."""
    orders = np.flatnonzero(commands["kind"] == CommandKind.ORDER)
    numbers = first + orders
    digits = np.empty((len(orders), NAME_BYTES), np.uint8)
    for place in range(NAME_BYTES):
        digits[:, NAME_BYTES - 1 - place] = ord("0") + numbers // 10**place % 10
    texts = digits.tobytes()
    commands["text_length"][orders] = NAME_BYTES
    commands["text_hash"][orders] = hashes(texts, [NAME_BYTES] * len(orders))
    return Stream(commands, texts)


def deposits(accounts: Whole, instruments: Whole, instrument_count: int) -> Stream:
    """Gives accounts as much as there may be, of the quote asset, and of the base asset of an instrument of theirs."""
    holders = np.unique(accounts)
    count = len(holders) + len(accounts)
    commands = np.zeros(count, layout.COMMAND)
    commands["kind"] = CommandKind.DEPOSIT
    commands["account"] = np.concatenate([holders, accounts])
    commands["instrument"] = np.concatenate([np.full(len(holders), instrument_count), instruments])
    commands["amount"] = min(_MOST_FUNDS, _MOST_SUPPLY // max(1, len(holders)))
    commands["text_length"] = len(_REFERENCES[0])
    texts = _REFERENCES[0] * len(holders) + _REFERENCES[1] * len(accounts)
    commands["text_hash"] = hashes(texts, commands["text_length"].tolist())
    return Stream(commands, texts)


def load(file: Path) -> Workload:
    """The workload of a .npy file: order flow (FLOW_FIELDS) or COMMAND records.

    An `order_id` in COMMAND records is the place of the order in the file, from 1. Raises BadFile, OSError.
    """
    try:
        records = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, BadZipFile) as error:
        raise BadFile(f"{file} is no NumPy array of records.") from error
    if not isinstance(records, np.ndarray) or records.ndim != 1 or not len(records) or records.dtype.names is None:
        raise BadFile(f"{file} is no NumPy array of records.")
    if records.dtype == layout.COMMAND:
        commands = records.copy()
    elif all(name in records.dtype.names and records.dtype[name].kind in "iu" for name in FLOW_FIELDS):
        commands = _commands_of_flow(records, file)
    else:
        raise BadFile(f"{file} has neither whole numbers {', '.join(FLOW_FIELDS)} nor the fields of a command record.")
    instruments = _refuse_impossible(commands, file)
    pairs = np.unique(np.stack([commands["account"], commands["instrument"].astype(np.int64)]), axis=1)
    funds = deposits(pairs[0], pairs[1], instruments)
    before = len(_definitions(instruments)) + len(funds)
    commands["order_id"][commands["order_id"] > 0] += before
    return Workload(file.stem, instruments, len(np.unique(pairs[0])), [funds], Stream(commands))


def _refuse_impossible(commands: Records, file: Path) -> int:
    """Raises BadFile for commands that no edge makes; gives the number of instruments. The file has no strings."""
    commands["text_length"] = commands["text_offset"] = 0
    if (commands["kind"] > CommandKind.REPLACE).any():
        raise BadFile(f"{file} has other commands than order, cancel, cancel_all and replace.")
    instruments = int(commands["instrument"].max()) + 1
    if instruments > _MOST_INSTRUMENTS:
        raise BadFile(
            f"{file} names instrument {instruments - 1}: they are numbered from 0 to {_MOST_INSTRUMENTS - 1}."
        )
    nameless = commands.copy()
    nameless["text_hash"] = 0
    engine = Engine()
    _define(engine, instruments)
    try:
        engine.check(nameless, b"")
    except BadMessage as error:
        raise BadFile(f"{file}: {error}") from error
    return instruments


def _commands_of_flow(flow: Records, file: Path) -> Records:
    numbers = flow["oid"].astype(np.uint64)
    new = flow["kind"] != _FLOW_CANCEL
    known, places = np.unique(numbers[new], return_index=True)
    found = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    if not len(known) or not np.isin(flow["kind"], (_FLOW_LIMIT, _FLOW_CANCEL, _FLOW_IOC)).all():
        raise BadFile(
            f"{file}: kind is {_FLOW_LIMIT} limit, {_FLOW_CANCEL} cancel, {_FLOW_IOC} IOC, one limit at least."
        )
    if (known[found] != numbers).any() or (flow["side"] > Side.SELL).any():
        raise BadFile(f"{file} cancels an order that it never placed, or has a side that is neither 0 nor 1.")
    commands = np.zeros(len(flow), layout.COMMAND)
    commands["kind"] = np.where(new, CommandKind.ORDER, CommandKind.CANCEL)
    commands["side"] = flow["side"]
    commands["time_in_force"] = np.where(flow["kind"] == _FLOW_IOC, TimeInForce.IOC, TimeInForce.GTC)
    commands["self_trade_prevention"] = np.where(new, SelfTradePrevention.NONE, 0)
    commands["account"] = flow["user"]
    commands["price"] = flow["price"]
    commands["quantity"] = flow["qty"]
    commands["order_id"] = np.where(new, 0, np.flatnonzero(new)[places[found]] + 1)
    commands["text_hash"] = np.where(new, _mixed_bits(numbers), 0)
    return commands


def _mixed_bits(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Stands for the hash of a client order id: the finalizer of SplitMix64, never 0."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27)) | np.uint64(1)


def _definitions(instruments: int) -> list[dict[str, Any]]:
    """Base assets first, so that instrument n has base asset n, and the quote asset is the last."""
    symbols = [*(f"B{number}" for number in range(instruments)), "Q"]
    assets = [{"command": "asset", "symbol": symbol, "decimals": 0} for symbol in symbols]
    fixed = {"tick_size": "1", "lot_size": "1", "min_quantity": "1", "max_quantity": "1000000000", "min_notional": "0"}
    fees = {"maker_fee": FEE_PPM, "taker_fee": FEE_PPM}
    return assets + [
        {"command": "instrument", "symbol": f"{base}-Q", "base": base, "quote": "Q", **fixed, **fees}
        for base in symbols[:-1]
    ]


def _define(engine: Engine, instruments: int) -> None:
    builder = BatchBuilder(Edge(engine.registry))
    for definition in _definitions(instruments):
        refusal = builder.add(definition)
        assert refusal is None
        _apply(engine, Stream(*builder.take()))


def _apply(engine: Engine, stream: Stream) -> list[Records]:
    """Applies a stream in large blocks; gives the events of each."""
    return [
        engine.apply(request_of(len(batch.commands)), batch.commands, batch.texts, 0).events
        for batch in stream.batches(_SETUP_BLOCK)
    ]


def request_of(count: int) -> Records:
    """One request without a client, for a block of so many commands."""
    return np.array([(0, 0, count, 0)], layout.REQUEST)

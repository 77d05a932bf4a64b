"""Generated workloads for benchmarks: seeded streams of COMMAND records, with the commands that set them up.

Shapes: a hot book with all orders within 50 ticks of the mid price, a deep book over ±20,000 ticks, and a varied one,
which is a hot book with icebergs and orders that wait for a trigger. About half
of the commands place a resting order, 40% cancel, 10% are IOC orders that take; the share of cancels keeps the number
of resting orders constant. The generator runs an engine of its own, one chunk behind, to know which orders are open. So
some cancels arrive too late, as in a real market.

Each instrument has its own base asset; all share one quote asset. Tick, lot and all assets have a unit of 1. Fees are
1000 ppm. Each account trades in one instrument.
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
from matching.core.codes import CommandKind, EventKind, OrderType, SelfTradePrevention, Side, TimeInForce
from matching.core.engine import Engine
from matching.core.errors import BadFile, BadMessage
from matching.core.texts import hashes

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FEE_PPM = 1000
NAME_BYTES = 12
_MID = 100_000
_MAX_LOTS = 100
_MAX_FUNDS = 1 << 50
_MAX_SUPPLY = 1 << 62
_NEAR = 0.1  # parameter of the geometric distribution of distances near the mid price, in ticks
_NEAR_TICKS = 50
_CROSSED_TICKS = 5
_PIECES = 5  # of an iceberg
_TAKER_SHARE, _CANCEL_SHARE = 0.10, 0.40
_MID_MOVES = 0.002
_MAX_INSTRUMENTS = 10_000
_SETUP_BLOCK = 4096
_REFERENCES = (b"quote", b"base_")  # of equal length; an account uses each once

# Required fields of an order flow file; others are ignored.
FLOW_FIELDS = ("kind", "side", "user", "oid", "price", "qty")
_FLOW_LIMIT, _FLOW_CANCEL, _FLOW_IOC = 1, 2, 3


class Shape(NamedTuple):
    """`resting` orders within `width_ticks` of the mid price; `near` is the share of new orders close to it.

    `icebergs` and `triggers` are shares of the orders that do not take.
    """

    resting: int
    width_ticks: int
    near: float
    icebergs: float = 0.0
    triggers: float = 0.0


SHAPES = {
    "hot": Shape(5_000, 50, 1.0),
    "deep": Shape(200_000, 20_000, 0.2),
    "varied": Shape(5_000, 50, 1.0, icebergs=0.1, triggers=0.1),
}


class Batch(NamedTuple):
    commands: Records
    texts: bytes


@dataclass(frozen=True)
class Stream:
    """COMMAND records and their strings, concatenated in the order of the commands."""

    commands: Records
    texts: bytes = b""

    def __len__(self) -> int:
        return len(self.commands)

    def part(self, start: int, stop: int) -> "Stream":
        """The commands from index `start` to before `stop`, with their strings. Text offsets are not changed."""
        ends = np.concatenate([[0], np.cumsum(self.commands["text_length"].astype(np.int64))])
        return Stream(self.commands[start:stop], self.texts[int(ends[start]) : int(ends[min(stop, len(self))])])

    def batches(self, size: int) -> Iterator[Batch]:
        """Splits the stream into batches of `size` commands, each with its own strings and offsets."""
        lengths = self.commands["text_length"].astype(np.int64)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for at in range(0, len(self.commands), size):
            commands = self.commands[at : at + size].copy()
            start, end = int(ends[at]), int(ends[at + len(commands)])
            commands["text_offset"] = ends[at : at + len(commands)] - start
            yield Batch(commands, self.texts[start:end])


@dataclass(frozen=True)
class Workload:
    """`setup` is applied before the measurement: deposits and initial resting orders."""

    name: str
    instruments: int
    accounts: int
    setup: list[Stream]
    stream: Stream

    def definitions(self) -> list[dict[str, Any]]:
        """Definitions of assets and instruments, in the JSON Lines form."""
        return _definitions(self.instruments)

    def engine(self) -> Engine:
        """An engine to which the setup was applied."""
        engine = Engine()
        _define(engine, self.instruments)
        for stream in self.setup:
            _apply(engine, stream)
        return engine


@dataclass
class _Draws:
    """Draws random orders: account, instrument, distance from the mid price, quantity."""

    rng: np.random.Generator
    shape: Shape
    instruments: int
    accounts: int
    mid: int = _MID
    mid_moves: float = 0.0  # share of commands before which the mid price moves by a tick

    def orders(self, taking: Flags, near: float) -> Records:
        """ORDER commands; those with `taking` set are IOC orders that cross the book."""
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
        commands["quantity"] = self.rng.integers(1, _MAX_LOTS + 1, count)
        if self.shape.icebergs or self.shape.triggers:
            self._vary(commands, ~taking, mids)
        return commands

    def _vary(self, commands: Records, resting: Flags, mids: Integers) -> None:
        """Makes some of the resting orders icebergs, and some stop orders with a trigger beyond the mid price."""
        drawn = self.rng.random(len(commands))
        icebergs = resting & (drawn < self.shape.icebergs)
        commands["amount"][icebergs] = -(-commands["quantity"][icebergs] // _PIECES)
        stops = resting & (drawn >= 1 - self.shape.triggers)
        upwards = np.where(commands["side"][stops] == Side.BUY, 1, -1)
        beyond = self.rng.geometric(_NEAR, len(upwards))
        commands["order_type"][stops] = OrderType.STOP_LOSS_LIMIT
        commands["amount"][stops] = mids[stops] + upwards * beyond
        commands["price"][stops] = commands["amount"][stops] + upwards * _CROSSED_TICKS

    def _distances(self, count: int, near: float) -> Integers:
        close = np.minimum(self.rng.geometric(_NEAR, count) - 1, _NEAR_TICKS - 1)
        anywhere = self.rng.integers(0, self.shape.width_ticks, count)
        return np.where(self.rng.random(count) < near, close, anywhere)


@dataclass
class _Model:
    """The generator's engine and the state of its orders, in arrays indexed by order_id - first_order_id."""

    engine: Engine
    first_order_id: int
    remaining: Integers  # lots
    accounts: Integers
    instruments: Integers
    open: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    def apply(self, stream: Stream) -> None:
        """Applies commands and updates the list of open orders."""
        first = self.engine.next_command_sequence - self.first_order_id
        commands = stream.commands
        orders = np.flatnonzero(commands["kind"] == CommandKind.ORDER)
        indexes = first + orders
        self.remaining[indexes] = commands["quantity"][orders]
        self.accounts[indexes] = commands["account"][orders]
        self.instruments[indexes] = commands["instrument"][orders]
        events = np.concatenate([*_apply(self.engine, stream), np.zeros(0, layout.EVENT)])
        trades = events[events["kind"] == EventKind.TRADE]
        for side in ("order_id", "other_order_id"):
            np.subtract.at(self.remaining, trades[side] - self.first_order_id, trades["quantity"])
        cancelled = events[events["kind"] == EventKind.ORDER_CANCELLED]["order_id"]
        refused = events[events["kind"] == EventKind.REJECTED]["command_sequence"]
        self.remaining[np.concatenate([cancelled, refused]) - self.first_order_id] = 0
        known = np.concatenate([self.open, indexes])
        self.open = known[self.remaining[known] > 0]

    def cancels(self, rng: np.random.Generator, count: int) -> Records:
        """CANCEL commands for random orders that were open after the last `apply`."""
        indexes = rng.choice(self.open, count, replace=False, shuffle=True)
        commands = np.zeros(count, layout.COMMAND)
        commands["kind"] = CommandKind.CANCEL
        commands["order_id"] = self.first_order_id + indexes
        commands["account"] = self.accounts[indexes]
        commands["instrument"] = self.instruments[indexes]
        return commands


def generate(
    name: str, commands: int, *, seed: int = 1, instruments: int = 1, accounts: int = 1000, resting: int | None = None
) -> Workload:
    """A workload of one of SHAPES.

    `resting` is the total of resting orders, by default that of the shape × instruments.
    """
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
    # Initial orders are far from the mid price only; those near it come and go with the stream.
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
    """The next commands: resting orders, cancels and IOC orders in random order."""
    surplus = 2.0 * (len(model.open) - resting) / max(1, resting)
    cancelling = _CANCEL_SHARE + min(0.1, max(-0.1, surplus))
    kinds = draws.rng.random(count)
    cancels = np.flatnonzero(kinds < cancelling)[: len(model.open) // 2]
    commands = draws.orders(kinds >= 1 - _TAKER_SHARE, draws.shape.near)
    commands[cancels] = model.cancels(draws.rng, len(cancels))
    return named(commands, first_name)


def pairs(commands: int, accounts: int, first_name: int, *, seed: int = 1) -> Stream:
    """A stream of trades: alternately a limit order at the mid price and an IOC order that takes it."""
    rng = np.random.default_rng(seed)
    records = np.zeros(commands - commands % 2, layout.COMMAND)
    records["kind"] = CommandKind.ORDER
    records["self_trade_prevention"] = SelfTradePrevention.NONE
    records["price"] = _MID
    sides = rng.integers(0, 2, len(records) // 2)
    lots = rng.integers(1, _MAX_LOTS + 1, len(records) // 2)
    for place, side in ((0, sides), (1, 1 - sides)):
        records["side"][place::2] = side
        records["quantity"][place::2] = lots
        records["account"][place::2] = rng.integers(1, accounts + 1, len(lots))
    records["time_in_force"][1::2] = TimeInForce.IOC
    return named(records, first_name)


def named(commands: Records, first: int) -> Stream:
    """Gives each order a client order id: decimal digits of its number, counted from `first`."""
    orders = np.flatnonzero(commands["kind"] == CommandKind.ORDER)
    numbers = first + orders
    digits = np.empty((len(orders), NAME_BYTES), np.uint8)
    for place in range(NAME_BYTES):
        digits[:, NAME_BYTES - 1 - place] = ord("0") + numbers // 10**place % 10
    texts = digits.tobytes()
    commands["text_length"][orders] = NAME_BYTES
    commands["text_hash"][orders] = hashes(texts, [NAME_BYTES] * len(orders))
    return Stream(commands, texts)


def deposits(accounts: Integers, instruments: Integers, instrument_count: int) -> Stream:
    """Deposits the largest possible amounts of the quote asset and of the base asset of each account's instrument."""
    holders = np.unique(accounts)
    count = len(holders) + len(accounts)
    commands = np.zeros(count, layout.COMMAND)
    commands["kind"] = CommandKind.DEPOSIT
    commands["account"] = np.concatenate([holders, accounts])
    commands["instrument"] = np.concatenate([np.full(len(holders), instrument_count), instruments])
    commands["amount"] = min(_MAX_FUNDS, _MAX_SUPPLY // max(1, len(holders)))
    commands["text_length"] = len(_REFERENCES[0])
    texts = _REFERENCES[0] * len(holders) + _REFERENCES[1] * len(accounts)
    commands["text_hash"] = hashes(texts, commands["text_length"].tolist())
    return Stream(commands, texts)


def load(file: Path) -> Workload:
    """The workload of a .npy file: order flow (FLOW_FIELDS) or COMMAND records.

    An `order_id` in COMMAND records is the position of the order in the file, from 1. Raises BadFile, OSError.
    """
    try:
        records = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, MemoryError, BadZipFile) as error:
        raise BadFile(f"{file} is not a NumPy array of records.") from error
    if not isinstance(records, np.ndarray) or records.ndim != 1 or not len(records) or records.dtype.names is None:
        raise BadFile(f"{file} is not a NumPy array of records.")
    if records.dtype == layout.COMMAND:
        commands = records.copy()
    elif all(name in records.dtype.names and records.dtype[name].kind in "iu" for name in FLOW_FIELDS):
        commands = _commands_of_flow(records, file)
    else:
        raise BadFile(f"{file} has neither the integer fields {', '.join(FLOW_FIELDS)} nor those of a command record.")
    instruments = _check_commands(commands, file)
    pairs = np.unique(np.stack([commands["account"], commands["instrument"].astype(np.int64)]), axis=1)
    funds = deposits(pairs[0], pairs[1], instruments)
    before = len(_definitions(instruments)) + len(funds)
    commands["order_id"][commands["order_id"] > 0] += before
    return Workload(file.stem, instruments, len(np.unique(pairs[0])), [funds], Stream(commands))


def _check_commands(commands: Records, file: Path) -> int:
    """Returns the number of instruments. Raises BadFile for invalid commands. The file contains no strings."""
    commands["text_length"] = commands["text_offset"] = 0
    if (commands["kind"] > CommandKind.REPLACE).any():
        raise BadFile(f"{file} contains commands other than order, cancel, cancel_all and replace.")
    instruments = int(commands["instrument"].max()) + 1
    if instruments > _MAX_INSTRUMENTS:
        raise BadFile(f"{file} names instrument {instruments - 1}: they are numbered from 0 to {_MAX_INSTRUMENTS - 1}.")
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
    known, indexes = np.unique(numbers[new], return_index=True)
    found = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    if not len(known) or not np.isin(flow["kind"], (_FLOW_LIMIT, _FLOW_CANCEL, _FLOW_IOC)).all():
        raise BadFile(
            f"{file}: kind must be {_FLOW_LIMIT} (limit), {_FLOW_CANCEL} (cancel) or {_FLOW_IOC} (IOC), and there must "
            "be an order."
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
    commands["order_id"] = np.where(new, 0, np.flatnonzero(new)[indexes[found]] + 1)
    commands["text_hash"] = np.where(new, _mixed_bits(numbers), 0)
    return commands


def _mixed_bits(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Replacement for hashes of client order ids: the finalizer of SplitMix64 with the lowest bit set, so never 0."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(27)) | np.uint64(1)


def _definitions(instruments: int) -> list[dict[str, Any]]:
    """Definitions: instrument n has base asset n, and the quote asset is the last one."""
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
    """Applies a stream in large blocks; returns the events of each block."""
    return [
        engine.apply(request_of(len(batch.commands)), batch.commands, batch.texts, 0).events
        for batch in stream.batches(_SETUP_BLOCK)
    ]


def request_of(count: int) -> Records:
    """A request without a client for a block of `count` commands."""
    return np.array([(0, 0, 0, 0, count, 0)], layout.REQUEST)

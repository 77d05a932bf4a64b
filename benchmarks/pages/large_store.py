"""Fills an empty store with trades: made by the engine, stored and projected as settlement does it.

The market has a few instruments and some thousand accounts. Most orders trade in pairs around a price that moves; some
rest in the book until the price reaches them, some are cancelled. A few accounts make half of all orders, as market
makers do, so there are accounts with very many rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import store_bench
from benchmarks.settled_blocks import COMMAND_NS, Recorder
from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.codes import CommandKind, SelfTradePrevention, TimeInForce
from matching.workloads import generated
from matching.workloads.generated import Integers
from settlement import wiring
from settlement.errors import CannotRun
from settlement.project.projector import Projections
from settlement.receive.chain import stored
from settlement.stores.base import Store

INSTRUMENTS = 3
ACCOUNTS = 3_000
RESTING = 3_000
MAKERS = 3
"""Accounts of each instrument that make half of the orders."""
BLOCK_COMMANDS = 512
CHUNK_BLOCKS = 64

_MID = 100_000
_RANGE_TICKS = 40  # within the orders that rest at the start
_MAX_LOTS = 100
_DAY_NS = 86_400 * 10**9
_COMMANDS_A_TRADE = 2  # about
_CANCELS = 0.05
_ALONE = 0.03  # orders that rest, because nobody takes them at once

Progress = Callable[[int], object]
"""Called with the number of further trades that were projected."""


@dataclass(frozen=True, slots=True)
class Filled:
    trades: int
    commands: int
    blocks: int


def fill(store: Store, trades: int, *, seed: int, progress: Progress, days: int | None = None) -> Filled:
    """Appends and projects blocks until the store has `trades` trades or some more. `store` is connected.

    `days`: about how many days of block time they span; None: as many as COMMAND_NS gives. Raises CannotRun if the
    store has blocks, or if it rejects rows; StoreUnavailable, StoreRejected.
    """
    if store.appended().block_number:
        raise CannotRun("The store already has blocks: give this command an empty one, with another DATA_DIR.")
    market = _Market(seed, COMMAND_NS if days is None else days * _DAY_NS // (_COMMANDS_A_TRADE * trades))
    projections = store_bench.projections_in(store, wiring.data_dir(), wiring.options())
    done = _settle(store, projections, market.begin())
    while done < trades:
        found = _settle(store, projections, market.trade(CHUNK_BLOCKS))
        done += found
        progress(found)
    if letters := [letter.block_number for letter in store.dead_letters()]:
        raise CannotRun(f"The store rejected the rows of {len(letters)} blocks, the first is block {letters[0]}.")
    newest = store.newest_blocks(1)[0]
    return Filled(done, newest.last_command_sequence, newest.number)


def _settle(store: Store, projections: Projections, blocks: list[Block]) -> int:
    """Returns the number of trades."""
    store_bench.append(store, projections, blocks)
    store_bench.project(projections)
    return sum(stored(block).trade_count for block in blocks)


class _Market:
    """Makes blocks. Each call continues where the one before ended."""

    def __init__(self, seed: int, command_ns: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._recorder = Recorder(command_ns)
        self._mids = np.full(INSTRUMENTS, _MID, np.int64)
        self._setup = generated.generate(
            "hot", 1, seed=seed, instruments=INSTRUMENTS, accounts=ACCOUNTS, resting=RESTING
        )
        self._orders = RESTING  # named so far

    def begin(self) -> list[Block]:
        """Definitions, deposits, and orders that rest."""
        self._recorder.call(self._setup.definitions())
        for stream in self._setup.setup:
            for batch in stream.batches(BLOCK_COMMANDS):
                self._recorder.apply(*batch)
        return self._take()

    def trade(self, blocks: int) -> list[Block]:
        stream = generated.named(self._commands(blocks * BLOCK_COMMANDS), self._orders)
        self._orders += len(stream)
        for batch in stream.batches(BLOCK_COMMANDS):
            self._recorder.apply(*batch)
        return self._take()

    def _take(self) -> list[Block]:
        taken, self._recorder.blocks = self._recorder.blocks, []
        return taken

    def _commands(self, count: int) -> Records:
        """Pairs of orders: one that makes, one at the same price that takes, or cancels the first one."""
        pairs = count // 2
        records = np.zeros(2 * pairs, layout.COMMAND)
        instruments = self._rng.integers(0, INSTRUMENTS, pairs)
        sides, lots = self._rng.integers(0, 2, pairs), self._rng.integers(1, _MAX_LOTS + 1, pairs)
        for place, side in ((0, sides), (1, 1 - sides)):
            made = records[place::2]
            made["kind"] = CommandKind.ORDER
            made["self_trade_prevention"] = SelfTradePrevention.NONE
            made["instrument"], made["side"], made["quantity"] = instruments, side, lots
            made["account"] = self._accounts(instruments)
            made["price"] = self._prices(instruments)
        records["price"][1::2] = records["price"][::2]
        records["time_in_force"][1::2] = TimeInForce.IOC
        self._vary(records)
        return records

    def _vary(self, records: Records) -> None:
        """Makes some second orders cancel the first one, and some take nothing, so that the first one rests."""
        drawn = self._rng.random(len(records) // 2)
        second = records[1::2]
        first_sequence = self._recorder.status()["command_sequence"] + 1
        cancels = np.flatnonzero(drawn < _CANCELS)
        for name in ("side", "quantity", "price", "time_in_force", "self_trade_prevention"):
            second[name][cancels] = 0
        second["kind"][cancels] = CommandKind.CANCEL
        second["account"][cancels] = records["account"][::2][cancels]
        second["order_id"][cancels] = first_sequence + 2 * cancels
        alone = np.flatnonzero(drawn > 1 - _ALONE)
        second["price"][alone] += np.where(second["side"][alone] == 0, -_RANGE_TICKS, _RANGE_TICKS)
        second["time_in_force"][alone] = TimeInForce.GTC

    def _accounts(self, instruments: Integers) -> Integers:
        rounds = ACCOUNTS // INSTRUMENTS
        any_account = self._rng.integers(0, rounds, len(instruments))
        makers = self._rng.integers(0, MAKERS, len(instruments))
        chosen: Integers = np.where(self._rng.random(len(instruments)) < 0.5, makers, any_account)
        return 1 + instruments + INSTRUMENTS * chosen

    def _prices(self, instruments: Integers) -> Integers:
        """A random walk of each instrument, which stays within _RANGE_TICKS of the first price."""
        prices = np.zeros(len(instruments), np.int64)
        for number in range(INSTRUMENTS):
            places = np.flatnonzero(instruments == number)
            moves = self._rng.integers(-1, 2, len(places))
            walk = self._mids[number] - _MID + np.cumsum(moves)
            folded = np.abs((walk - _RANGE_TICKS) % (4 * _RANGE_TICKS) - 2 * _RANGE_TICKS) - _RANGE_TICKS
            prices[places] = _MID + folded
            if len(places):
                self._mids[number] = _MID + walk[-1]
        return prices

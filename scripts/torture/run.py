"""One run: start, load and faults, drain, then all checks."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange_site.operations.free_addresses import free_addresses
from matching.core.blocks import Block
from matching.core.errors import MatchingError
from scripts.torture import clients
from scripts.torture.checks import Comparison, compare
from scripts.torture.clients import Traders
from scripts.torture.disturbances import FaultInjector
from scripts.torture.exchange import Exchange, Journal, ManagedProcess, json_of
from scripts.torture.keys import give_keys
from scripts.torture.processes import Failed, comes_true, manage, settings_of
from scripts.torture.proxy import Proxy
from scripts.torture.report import Result, longest_gap, outage_lengths
from settlement import wiring

_CLIENTS = 4
_POLL_S = 0.1
_READY_S = 240.0  # a first start compiles the kernel; at the end, a long chain is executed again
_DRAIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of a run."""

    seed: int
    kills: int
    minutes: float
    rate: float  # commands a second
    spare_s: float  # maximum grace period of a ready process before it may be killed


async def run(choices: Choices, folder: Path, result: Result) -> None:
    """Runs everything and fills in `result`. Raises Failed, MatchingError, StoreError if it cannot continue."""
    rng = random.Random(choices.seed)  # noqa: S311 (no secret: the same seed has to draw the same)
    exchange = _exchange(folder, rng)
    journal = exchange.journal
    try:
        made = await manage(exchange.settlement.environment, "init_store")
        if made.code:
            raise Failed(f"init_store ended with {made.code}: {made.errors}")
        first, second = exchange.engines
        await give_keys(first.environment, second.data_dir)
        async with _supervised(exchange), _proxies(exchange) as proxies:
            await _until(lambda: exchange.is_ready, "all processes were ready", _READY_S)
            addresses = [proxy.address for proxy in proxies]
            registry = await asyncio.to_thread(clients.define, exchange.leader.commands)
            traders = Traders(_CLIENTS, addresses, registry, rng, choices.rate)
            await _apply_load_and_faults(exchange, traders, proxies, choices, result)
            await _wait_until_drained(exchange)
            await _check(exchange, traders, result)
        await exchange.stop()
    finally:
        exchange.clear()
        result.disturbances, result.happenings = journal.disturbances, journal.happenings + exchange.count_log_events()
        result.refusals = journal.refusals
        result.memory_peaks = {process.name: process.peak_bytes for process in exchange.processes}
        result.problems += [*journal.problems, *exchange.tracebacks()]


def _exchange(folder: Path, rng: random.Random) -> Exchange:
    common = settings_of(folder)

    def process(name: str, data_dir: str, mark: str, **settings: str) -> ManagedProcess:
        (folder / data_dir).mkdir(mode=0o700, exist_ok=True)
        environment = {**common, **free_addresses(), "DATA_DIR": str(folder / data_dir), **settings}
        own = random.Random(rng.random())  # noqa: S311
        return ManagedProcess(name, environment, mark.format(**environment), own)

    (folder / "store").mkdir()
    first = process("engine-a", "engine-a", ", http {ENGINE_HTTP_ADDRESS}")
    second = process("engine-b", "engine-b", ", http {ENGINE_HTTP_ADDRESS}")
    of_first = {name: value for name, value in first.environment.items() if name.startswith("ENGINE_")}
    # The first engine reads settlement's spill, so the two share a folder.
    settlement = process("settlement", "engine-a", "settlement.started", **of_first)
    return Exchange(folder, (first, second), settlement, Journal(folder / "journal.txt"))


@asynccontextmanager
async def _supervised(exchange: Exchange) -> AsyncIterator[None]:
    """Restarts every process that ends, until the `with` block is left."""
    keeping = asyncio.create_task(exchange.run())
    watching = asyncio.current_task()
    assert watching is not None, "this runs in a task"

    def give_up(ended: "asyncio.Task[None]") -> None:
        if not ended.cancelled():
            watching.cancel()

    keeping.add_done_callback(give_up)
    try:
        yield
    except asyncio.CancelledError:
        if keeping.done() and not keeping.cancelled() and keeping.exception() is not None:
            raise Failed(f"The harness failed: {keeping.exception()!r}") from keeping.exception()
        raise
    finally:
        keeping.remove_done_callback(give_up)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError, ExceptionGroup):
            await keeping


@asynccontextmanager
async def _proxies(exchange: Exchange) -> AsyncIterator[list[Proxy]]:
    proxies = [await Proxy(int(engine.commands.rpartition(":")[2])).start() for engine in exchange.engines]
    try:
        yield proxies
    finally:
        for proxy in proxies:
            await proxy.close()


async def _apply_load_and_faults(
    exchange: Exchange, traders: Traders, proxies: list[Proxy], choices: Choices, result: Result
) -> None:
    """Applies load and faults, then waits until every client has all answers."""
    own = random.Random(choices.seed + 1)  # noqa: S311
    database = Path(exchange.settlement.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    disturber = FaultInjector(exchange, proxies, database, own, lambda since_s: traders.last_answer_s() > since_s)
    exchange.answered_up_to = lambda: traders.newest_block() if all(proxy.flows for proxy in proxies) else None
    began_s = time.monotonic()
    traders.start()
    try:
        await disturber.run(choices.kills, began_s + 60 * choices.minutes, choices.spare_s)
        await _until(lambda: exchange.is_ready, "all processes came back after the last fault", _READY_S)
        result.seconds = time.monotonic() - began_s
    except asyncio.CancelledError:
        traders.hurry()
        raise
    finally:
        await asyncio.to_thread(traders.finish)
        answers = traders.answers()
        result.kills = disturber.kills
        result.timeouts = sum(trader.timeouts for trader in traders.traders)
        result.longest_gap_s, began_gap_s = longest_gap(answer.at_s for answer in answers)
        result.longest_gap_at_s = began_gap_s - exchange.journal.began_s
        result.outages = outage_lengths(exchange.journal.outages, answers, exchange.journal.faults)
        result.problems += traders.problems()


async def _wait_until_drained(exchange: Exchange) -> None:
    """Waits until follower, store and projections are at the leader's block and the spill is empty."""

    def is_drained() -> bool:
        if not exchange.is_ready:
            return False
        try:
            last = exchange.status(exchange.leader)["block"]
            followed = exchange.status(exchange.follower)["block"]
            return bool(last == followed and set(_checkpoints()) == {last} and not _spilled(exchange))
        except MatchingError:
            return False

    deadline_s = time.monotonic() + _DRAIN_S
    while not await asyncio.to_thread(is_drained):
        if time.monotonic() > deadline_s:
            places = await asyncio.to_thread(_checkpoints)
            raise Failed(f"Settlement is at blocks {places} {_DRAIN_S:g} s after the load, {_spilled(exchange)}.")
        await asyncio.sleep(_POLL_S)


def _checkpoints() -> tuple[int, int]:
    """Appended and projected block. Raises StoreError."""
    store = wiring.store()
    try:
        return store.appended().block_number, store.projected().block_number
    finally:
        store.close()


def _spilled(exchange: Exchange) -> list[str]:
    return sorted(file.name for file in (exchange.settlement.data_dir / "spill").glob("*.spill"))


async def _check(exchange: Exchange, traders: Traders, result: Result) -> None:
    """Runs all checks, even if some find problems."""
    settings = exchange.settlement.environment
    statuses = [
        json_of(await manage(settings, "engine_status", "--json", "--address", engine.commands))
        for engine in (exchange.leader, exchange.follower)
    ]
    leader, follower = statuses
    if [leader[name] for name in ("block", "state_hash")] != [follower[name] for name in ("block", "state_hash")]:
        result.problems.append(f"Leader and follower differ: {leader} {follower}")
    if (leader["role"], follower["role"]) != ("leader", "follower"):
        result.problems.append(f"The two engines are {leader['role']} and {follower['role']}.")
    result.epochs = int(leader["epoch"])
    verified = await manage(settings, "verify_settlement", "--json")
    result.trades = int(json_of(verified).get("trades", 0))
    if verified.code:
        result.problems.append(f"verify_settlement: {verified.output[:2000]} {verified.errors[:500]}")
    reconciled = await manage(settings, "reconcile", "--json", "--address", exchange.leader.commands)
    if reconciled.code:
        result.problems.append(f"reconcile: {reconciled.output[:2000]} {reconciled.errors[:500]}")
    compared, letters = await asyncio.to_thread(_compare_with_store, traders)
    result.blocks, result.commands_in_chain = compared.blocks, compared.commands
    result.commands_answered, result.commands_forgotten = compared.answered, compared.forgotten
    result.problems += compared.problems
    if compared.problem_count > len(compared.problems):
        result.problems.append(f"There are {compared.problem_count} such differences in all.")
    if compared.blocks != leader["block"]:
        result.problems.append(f"The store has {compared.blocks} blocks, the leader is at {leader['block']}.")
    result.problems += [f"The rows of block {number} are a dead letter: {error}" for number, error in letters]


def _compare_with_store(traders: Traders) -> tuple[Comparison, list[tuple[int, str]]]:
    """Raises StoreError, BadBlock."""
    store = wiring.store()

    def blocks() -> Iterator[Block]:
        for stored in store.blocks(1):
            yield Block.decode(stored.data)

    try:
        compared = compare(blocks(), traders.acknowledged())
        return compared, [(letter.block_number, letter.error) for letter in store.dead_letters()]
    finally:
        store.close()


async def _until(happened: Callable[[], object], what: str, seconds: float) -> None:
    if not await comes_true(happened, seconds, _POLL_S):
        raise Failed(f"Timed out after {seconds:g} s: {what}.")

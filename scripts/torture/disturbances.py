"""Injects faults into a running exchange, at random times that the seed determines."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from scripts.torture.exchange import Exchange, ManagedProcess
from scripts.torture.processes import ProcessRun, comes_true
from scripts.torture.proxy import Proxy

_PAUSES_S = (0.05, 1.5)
_DURING_PROMOTION = 0.2
_SECOND_KILL = 0.2  # share of kills after which the restarting process is killed, too
_SECOND_KILL_S = (0.1, 3.0)
_FROZEN_S = (0.2, 5.0)
_CUT_S = (0.2, 4.0)
_LOCKED_S = (1.0, 10.0)
_STARTS_S = 60.0
_LOCK_TIMEOUT_S = 20.0


class FaultInjector:
    """`serves_since(moment_s)` returns whether a client was answered after that time."""

    def __init__(
        self,
        exchange: Exchange,
        proxies: Sequence[Proxy],
        database: Path,
        rng: random.Random,
        serves_since: Callable[[float], bool],
    ) -> None:
        self.kills = 0
        self._pending_kills = 0
        self._spare_s = 0.0
        self._exchange = exchange
        self._proxies = proxies
        self._database = database
        self._moments = rng
        self._seed = rng.random()
        self._serves_since = serves_since
        self._journal = exchange.journal
        self._active: set[asyncio.Task[None]] = set()  # faults that have begun and not ended
        self._is_locked = False

    async def run(self, kills: int, until_s: float, spare_s: float) -> None:
        """Injects faults until `kills` processes were killed or `until_s`, then waits for the faults to end."""
        self._spare_s = spare_s
        choices: dict[str, tuple[int, Callable[[int], None]]] = {
            "leader": (24, lambda remaining: self._kill(self._exchange.leader, remaining)),
            "follower": (10, lambda remaining: self._kill(self._exchange.follower, remaining)),
            "settlement": (26, lambda remaining: self._kill(self._exchange.settlement, remaining)),
            "freeze": (12, lambda remaining: self._freeze()),
            "network": (8, lambda remaining: self._disturb_network()),
            "database": (2, lambda remaining: self._lock_database()),
        }
        weights = [weight for weight, _ in choices.values()]
        actions = [action for _, action in choices.values()]
        while self.kills < kills and time.monotonic() < until_s:
            await asyncio.sleep(self._moments.uniform(*_PAUSES_S))  # the pace of the faults
            action = self._moments.choices(actions, weights)[0]
            # Promotions are rare, so most of them are not disturbed.
            if not self._exchange.is_promoting or self._moments.random() < _DURING_PROMOTION:
                action(kills - self.kills - self._pending_kills)
        await asyncio.gather(*self._active)

    def _run_fault(self, fault: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(fault)
        self._active.add(task)
        task.add_done_callback(self._active.discard)

    # Kills

    def _kill(self, process: ManagedProcess, remaining: int) -> None:
        process_run, leads = process.current_run, process is self._exchange.leader
        if remaining < 1 or process_run is None or not process_run.is_ready or self._has_grace(process_run):
            return
        if leads and not self._serves_since(process_run.ready_s or 0):
            return
        self._kill_one(process, process_run, self._role(process))
        if remaining > 1 and self._moments.random() < _SECOND_KILL:
            self._pending_kills += 1
            self._run_fault(self._kill_again(process, process_run, self._moments.uniform(*_SECOND_KILL_S)))

    def _has_grace(self, process_run: ProcessRun) -> bool:
        """Whether the process is in its grace period, which is drawn for each run of a process."""
        spared_s = random.Random(f"{self._seed} {process_run.output.name}").uniform(0, self._spare_s)  # noqa: S311
        return time.monotonic() - (process_run.ready_s or 0) < spared_s

    def _kill_one(self, process: ManagedProcess, process_run: ProcessRun, kind: str) -> None:
        self.kills += 1
        self._journal.record_fault(f"kill: {kind}", f"{process.name} ({process_run.output.name})")
        process_run.kill()

    async def _kill_again(self, process: ManagedProcess, before: ProcessRun, after_s: float) -> None:
        """Kills a process again soon after its restart, unless it is ready by then."""
        await comes_true(lambda: process.current_run is not before, _STARTS_S)
        process_run = process.current_run
        await asyncio.sleep(after_s)  # the random moment of its start at which it is killed
        self._pending_kills -= 1
        if process_run is not None and process_run.is_running and not process_run.is_ready:
            self._kill_one(process, process_run, f"{self._role(process)}, starting")

    def _role(self, process: ManagedProcess) -> str:
        if process is self._exchange.settlement:
            return "settlement"
        return "leader" if process is self._exchange.leader else "follower"

    # Temporary faults

    def _freeze(self) -> None:
        process = self._moments.choice((self._exchange.leader, self._exchange.follower, self._exchange.settlement))
        seconds = self._moments.uniform(*_FROZEN_S)
        if process.current_run is not None and process.current_run.is_running:
            kind = f"paused: {self._role(process)}"
            self._journal.record_fault(kind, f"{process.name} {seconds:.1f} s", seconds)
            self._run_fault(_frozen(process.current_run, seconds))

    def _disturb_network(self) -> None:
        proxy, seconds = self._moments.choice(self._proxies), self._moments.uniform(*_CUT_S)
        ways: tuple[tuple[str, Callable[[float], Awaitable[None]]], ...] = (
            ("clients' connections cut", proxy.cut),
            ("clients' connections stalled", proxy.stand_still),
        )
        kind, disturb = self._moments.choice(ways)
        self._journal.record_fault(kind, f"{seconds:.1f} s", seconds)
        self._run_fault(_await(disturb(seconds)))

    def _lock_database(self) -> None:
        if self._is_locked:
            return
        seconds = self._moments.uniform(*_LOCKED_S)
        self._journal.record_fault("database locked", f"{seconds:.1f} s", seconds)
        self._run_fault(self._locked(seconds))

    async def _locked(self, seconds: float) -> None:
        self._is_locked = True
        try:
            await asyncio.to_thread(_hold_lock, self._database, seconds)
        except sqlite3.OperationalError as error:  # another process held the lock all the time
            self._journal.record_event("the database could not be locked", str(error))
        finally:
            self._is_locked = False


async def _frozen(process_run: ProcessRun, seconds: float) -> None:
    process_run.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        process_run.thaw()


async def _await(fault: Awaitable[None]) -> None:
    await fault


def _hold_lock(database: Path, seconds: float) -> None:
    with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)  # the length of the fault
        connection.execute("ROLLBACK")

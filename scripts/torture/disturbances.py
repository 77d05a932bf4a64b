"""What is done to a running exchange, at moments that a seed draws."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from scripts.torture.exchange import Exchange, Machine
from scripts.torture.processes import LOOK_S, Life
from scripts.torture.proxy import Proxy

_PAUSES_S = (0.05, 1.5)
_DURING_PROMOTION = 0.2
_AGAIN = 0.2  # of the kills are followed by another one, of the process that is coming up
_AGAIN_S = (0.1, 3.0)
_FROZEN_S = (0.2, 5.0)
_CUT_S = (0.2, 4.0)
_LOCKED_S = (1.0, 10.0)
_STARTS_S = 60.0
_LOCK_PATIENCE_S = 20.0


class Disturber:
    """`serves_since` says whether somebody was answered after that moment."""

    def __init__(
        self,
        exchange: Exchange,
        proxies: Sequence[Proxy],
        database: Path,
        moments: random.Random,
        serves_since: Callable[[float], bool],
    ) -> None:
        self.kills = 0
        self._promised = 0  # kills that are to come
        self._spare_s = 0.0
        self._exchange = exchange
        self._proxies = proxies
        self._database = database
        self._moments = moments
        self._seed = moments.random()
        self._serves_since = serves_since
        self._journal = exchange.journal
        self._lasting: set[asyncio.Task[None]] = set()  # what was begun and is still on
        self._is_locked = False

    async def run(self, kills: int, until_s: float, spare_s: float) -> None:
        """Goes on until so many were killed, or until that time; then waits for the end of what it has begun."""
        self._spare_s = spare_s
        choices: dict[str, tuple[int, Callable[[int], None]]] = {
            "leader": (24, lambda left: self._kill(self._exchange.leader, left)),
            "follower": (10, lambda left: self._kill(self._exchange.follower, left)),
            "settlement": (26, lambda left: self._kill(self._exchange.settlement, left)),
            "freeze": (12, lambda left: self._freeze()),
            "network": (8, lambda left: self._disturb_network()),
            "database": (2, lambda left: self._lock_database()),
        }
        weights = [weight for weight, _ in choices.values()]
        actions = [action for _, action in choices.values()]
        while self.kills < kills and time.monotonic() < until_s:
            await asyncio.sleep(self._moments.uniform(*_PAUSES_S))
            action = self._moments.choices(actions, weights)[0]
            # Promotions are what is rarest: most of them are let go on.
            if not self._exchange.is_promoting or self._moments.random() < _DURING_PROMOTION:
                action(kills - self.kills - self._promised)
        await asyncio.gather(*self._lasting)

    def _last(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)

    # Kills

    def _kill(self, machine: Machine, left: int) -> None:
        life, leads = machine.life, machine is self._exchange.leader
        if left < 1 or life is None or not life.is_ready or self._is_spared(life):
            return
        if leads and not self._serves_since(life.ready_s or 0):
            return
        self._kill_one(machine, life, self._role(machine))
        if left > 1 and self._moments.random() < _AGAIN:
            self._promised += 1
            self._last(self._kill_again(machine, life, self._moments.uniform(*_AGAIN_S)))

    def _is_spared(self, life: Life) -> bool:
        """Each life has a while to do its work in, drawn for it alone."""
        spared_s = random.Random(f"{self._seed} {life.output.name}").uniform(0, self._spare_s)  # noqa: S311
        return time.monotonic() - (life.ready_s or 0) < spared_s

    def _kill_one(self, machine: Machine, life: Life, kind: str) -> None:
        self.kills += 1
        self._journal.disturb(f"kill: {kind}", f"{machine.name} ({life.output.name})")
        life.kill()

    async def _kill_again(self, machine: Machine, before: Life, after_s: float) -> None:
        """Soon after it was started again, unless it does its work by then."""
        deadline_s = time.monotonic() + _STARTS_S
        while (life := machine.life) is before and time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(after_s)
        self._promised -= 1
        if life is not None and life.lives and not life.is_ready:
            self._kill_one(machine, life, f"{self._role(machine)}, coming up")

    def _role(self, machine: Machine) -> str:
        if machine is self._exchange.settlement:
            return "settlement"
        return "leader" if machine is self._exchange.leader else "follower"

    # What passes by itself

    def _freeze(self) -> None:
        machine = self._moments.choice((self._exchange.leader, self._exchange.follower, self._exchange.settlement))
        seconds = self._moments.uniform(*_FROZEN_S)
        if machine.life is not None and machine.life.lives:
            kind = f"stopped for a while: {self._role(machine)}"
            self._journal.disturb(kind, f"{machine.name} {seconds:.1f} s", seconds)
            self._last(_frozen(machine.life, seconds))

    def _disturb_network(self) -> None:
        proxy, seconds = self._moments.choice(self._proxies), self._moments.uniform(*_CUT_S)
        ways: tuple[tuple[str, Callable[[float], Awaitable[None]]], ...] = (
            ("clients' connections cut", proxy.cut),
            ("clients' connections stand still", proxy.stand_still),
        )
        kind, disturb = self._moments.choice(ways)
        self._journal.disturb(kind, f"{seconds:.1f} s", seconds)
        self._last(_awaited(disturb(seconds)))

    def _lock_database(self) -> None:
        if self._is_locked:
            return
        seconds = self._moments.uniform(*_LOCKED_S)
        self._journal.disturb("database locked", f"{seconds:.1f} s", seconds)
        self._last(self._locked(seconds))

    async def _locked(self, seconds: float) -> None:
        self._is_locked = True
        try:
            await asyncio.to_thread(_hold_lock, self._database, seconds)
        except sqlite3.OperationalError as error:  # somebody else held it all the time
            self._journal.happen("the database could not be locked", str(error))
        finally:
            self._is_locked = False


async def _frozen(life: Life, seconds: float) -> None:
    life.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        life.thaw()


async def _awaited(what: Awaitable[None]) -> None:
    await what


def _hold_lock(database: Path, seconds: float) -> None:
    with closing(sqlite3.connect(database, timeout=_LOCK_PATIENCE_S, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")

"""Two engines and a settlement, each started again whenever it ends; and who leads after the leader was killed."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matching.client.connection import Connection
from matching.core.epochs import Epoch, newest
from matching.core.errors import MatchingError
from matching.storage.disk import LocalDisk
from matching.storage.segments import Segments
from matching.transport import wire
from matching.transport.roles import FOLLOWER
from scripts.torture.processes import LOOK_S, Done, Failed, Life, manage
from scripts.torture.report import Fault, Outage
from settlement import wiring

_MEMORY_EVERY_S = 0.5
_ASK_S = 2.0
_CATCH_UP_S = 2.0
_PROMOTE_S = 40.0
_PROMOTIONS = 0.9  # of the kills of a leader, where they are possible
_FORCED = 0.3  # of these
_REFUSED_S = 120.0
_TRACEBACK = "Traceback (most recent call last)"
_SHOWN = 500  # characters
_NO_LEADER = "No engine answers at"
_IS_LED = "leads (epoch"
_OVERRULED = "do not count any more and are kept in"
_TOLD = {
    "blocks went to the spill": "event='the store does not take blocks, they go to the spill'",
    "a spill was found at the start": "event='draining the spill'",
    "a follower joined from a snapshot": 'event="joined from the leader\'s snapshot"',
    "blocks of a replaced engine were refused": "event='refusing blocks of an engine that was replaced'",
    "trades were missing in the trail": "event='writing trades that the trail does not have'",
    "settlement asked for blocks": "event='asking for blocks'",
}
_LACKS_BLOCKS = "Settlement's store lacks blocks"
_MOVE_LOG = "Move the folder wal/ away"


@dataclass
class Machine:
    """What stays while processes come and go."""

    name: str
    environment: Mapping[str, str]
    ready_mark: str
    moments: random.Random
    life: Life | None = None
    starts: int = 0
    peak_bytes: int = 0

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["DATA_DIR"])

    @property
    def commands(self) -> str:
        return self.environment["ENGINE_COMMAND_ADDRESS"]

    @property
    def is_ready(self) -> bool:
        return self.life is not None and self.life.is_ready


@dataclass
class Journal:
    """What was done and what happened, by kind and, in a file, by time."""

    file: Path
    began_s: float = field(default_factory=time.monotonic)
    disturbances: Counter[str] = field(default_factory=Counter)
    happenings: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    outages: list[Outage] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        with self.file.open("a") as file:
            file.write(f"{time.monotonic() - self.began_s:9.3f} {text}\n")

    def disturb(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Something is being done, for so long."""
        self.disturbances[kind] += 1
        now_s = time.monotonic()
        self.faults.append(Fault(now_s, now_s + seconds))
        self.note(f"DO {kind} {detail}")

    def happen(self, kind: str, detail: str = "") -> None:
        self.happenings[kind] += 1
        self.note(f"{kind} {detail}")

    def blame(self, problem: str) -> None:
        self.problems.append(problem)
        self.note(f"PROBLEM {problem}")


class Exchange:
    """`run` keeps all of it going until it is cancelled. The first engine leads first."""

    def __init__(self, folder: Path, engines: tuple[Machine, Machine], settlement: Machine, journal: Journal) -> None:
        self.engines = engines
        self.settlement = settlement
        self.leader = engines[0]
        self.journal = journal
        self._output = folder / "output"
        self._output.mkdir()
        self.answered_up_to: Callable[[], int | None] = lambda: None
        """The newest block that somebody was told of; None while an answer may still be under way."""
        self.is_promoting = False
        self._overrules = False  # somebody was promoted without blocks that nobody was told of
        self._succession = asyncio.Lock()
        self._began: list[Life] = []

    @property
    def follower(self) -> Machine:
        return self._other(self.leader)

    @property
    def machines(self) -> tuple[Machine, ...]:
        return (*self.engines, self.settlement)

    @property
    def is_ready(self) -> bool:
        return all(machine.is_ready for machine in self.machines)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for engine in self.engines:
                tasks.create_task(self._keep_engine(engine))
            tasks.create_task(self._keep_settlement())
            tasks.create_task(self._look_at_memory())

    async def stop(self) -> None:
        """After `run` was cancelled: as an operator does, settlement last. Raises Failed."""
        for machine in (self.follower, self.leader, self.settlement):
            if machine.life is not None and machine.life.lives:
                code = await machine.life.stop()
                if code:
                    raise Failed(f"{machine.name} ended with {code} after SIGTERM: {machine.life.last_words()}")

    def clear(self) -> None:
        for life in self._began:
            life.clear()

    def tracebacks(self) -> list[str]:
        """Whoever wrote one: each is a bug, whatever was done to the process."""
        outputs = ((life, life.output.read_text(errors="replace")) for life in self._began)
        return [
            f"{life.output.name} has a traceback: {text.partition(_TRACEBACK)[2][-_SHOWN:]}"
            for life, text in outputs
            if _TRACEBACK in text
        ]

    def heard(self) -> Counter[str]:
        """How often the processes told of what only happens in trouble: what a run has come by."""
        outputs = [life.output.read_text(errors="replace") for life in self._began]
        found = {what: sum(text.count(mark) for text in outputs) for what, mark in _TOLD.items()}
        return Counter({what: count for what, count in found.items() if count})

    def status(self, engine: Machine) -> dict[str, Any]:
        """Raises EngineUnreachable, BadMessage."""
        connection = Connection(engine.commands, timeout_s=_ASK_S, roams=False)
        try:
            return connection.ask(wire.STATUS)
        finally:
            connection.close()

    # Lives

    def _begin(self, machine: Machine, *arguments: str) -> Life:
        machine.starts += 1
        output = self._output / f"{machine.name}-{machine.starts:03d}.log"
        life = Life(machine.name, arguments, machine.environment, output, machine.ready_mark)
        self._began.append(life)
        self.journal.note(f"{machine.name}: {' '.join(arguments)} ({output.name})")
        return life

    async def _live(self, machine: Machine, *arguments: str) -> Life:
        """One life, to its end."""
        machine.life = self._begin(machine, *arguments)
        code = await machine.life.end()
        self.journal.note(f"{machine.name} ended with {code}")
        return machine.life

    async def _keep_settlement(self) -> None:
        while True:
            life = await self._live(self.settlement, "run_settlement")
            if not life.is_killed and self._overrules and _OVERRULED in life.last_words():
                self._overrules = False
                self.journal.happen("an overruled spill was put aside", life.last_words())
            elif not life.is_killed:
                self.journal.blame(f"settlement ended with {life.code} ({life.output.name}): {life.last_words()}")
            await self._pause(self.settlement)

    async def _keep_engine(self, engine: Machine) -> None:
        while True:
            leads = engine is self.leader
            arguments = [] if leads else ["--follow", self.leader.commands]
            life = await self._live(engine, "run_engine", *arguments)
            ended_s = time.monotonic()
            if not life.is_killed:
                await self._explain(engine, life)
            await self._pause(engine)
            async with self._succession:
                if engine is self.leader:
                    await self._succeed(engine, ended_s)

    async def _explain(self, engine: Machine, life: Life) -> None:
        """An engine ended of itself: as it should, or not."""
        words = life.last_words()
        if life.code == 2 and _NO_LEADER in words and "--follow" in life.arguments:
            self.journal.happen("a follower found no leader", words)
        elif life.code == 1 and _IS_LED in words and "--follow" not in life.arguments:
            # Its follower had been promoted after all, when whoever asked for that had given up.
            self.journal.happen("a leader found itself replaced", words)
            await self._see_who_leads()
        else:
            self.journal.blame(f"{engine.name} ended with {life.code} ({life.output.name}): {words}")

    async def _pause(self, machine: Machine) -> None:
        await asyncio.sleep(machine.moments.choice((0.0, machine.moments.uniform(0, 1.5))))

    async def _look_at_memory(self) -> None:
        while True:
            for machine in self.machines:
                if machine.life is not None and machine.life.lives:
                    machine.life.look_at_memory()
                    machine.peak_bytes = max(machine.peak_bytes, machine.life.peak_bytes)
            await asyncio.sleep(_MEMORY_EVERY_S)

    # Succession

    def _other(self, engine: Machine) -> Machine:
        first, second = self.engines
        return second if engine is first else first

    async def _succeed(self, dead: Machine, ended_s: float) -> None:
        """Decides who leads next: the same one, started again, or its follower, where that one has all there is."""
        other, moments = self._other(dead), dead.moments
        if moments.random() < _PROMOTIONS and await self._has_everything(other, dead):
            remedy_s = time.monotonic()
            self.is_promoting = True
            await self._promote(other, forced=moments.random() < _FORCED)
            self.is_promoting = False
            await self._see_who_leads()
            if self.leader is other:
                self.journal.outages.append(Outage("promotion", ended_s, remedy_s))
                await self._see_refused(dead)
                return
        self.journal.outages.append(Outage("restart", ended_s, time.monotonic()))

    async def _has_everything(self, follower: Machine, dead: Machine) -> bool:
        """Whether a living follower holds what the log of a dead leader ends with, or all of it that anybody heard of.

        With a local log only that is promised: an end that was written and not answered may be overruled.
        """
        deadline_s = time.monotonic() + _CATCH_UP_S
        number, digest = await asyncio.to_thread(_end_of_log, dead.data_dir / "wal")
        while follower.is_ready:
            try:
                status = await asyncio.to_thread(self.status, follower)
            except MatchingError:
                return False
            if status["role"] == FOLLOWER and status["block"] >= number:
                if status["block"] == number and int(status["state_hash"], 16) != digest:
                    self.journal.blame(f"{follower.name} has another block {number} than the log of {dead.name}.")
                return True
            if time.monotonic() > deadline_s:
                told = self.answered_up_to()
                self.journal.note(
                    f"{follower.name} is at block {status['block']}, {dead.name} had {number}, told {told}"
                )
                self._overrules = status["role"] == FOLLOWER and told is not None and status["block"] >= told
                return self._overrules
            await asyncio.sleep(LOOK_S)
        return False

    async def _promote(self, follower: Machine, *, forced: bool) -> None:
        """Asks until it is promoted, or until the reason why not is one that does not pass."""
        deadline_s = time.monotonic() + _PROMOTE_S
        arguments = ["promote_engine", "--address", follower.commands, "--json", *(["--force"] if forced else [])]
        while follower.is_ready and time.monotonic() < deadline_s:
            done = await manage(follower.environment, *arguments)
            self.journal.note(f"{' '.join(arguments)}: {done.code} {done.output.strip()} {done.errors.strip()}")
            if done.code == 0:
                self.journal.happen("promoted, forced" if forced else "promoted")
                return
            if _MOVE_LOG in done.errors:
                await self._move_log(follower)
                return
            if _LACKS_BLOCKS in done.errors:  # only the dead leader's log has them
                self.journal.happen("a follower could not lead: it lacks blocks that settlement has not stored")
                return
            self.journal.happen("a promotion was put off")
            await asyncio.sleep(LOOK_S)

    async def _move_log(self, engine: Machine) -> None:
        """A newer epoch has overruled the end of it: as the refusal says."""
        self.journal.happen("an overruled log was moved away", engine.name)
        if engine.life is not None:
            await engine.life.stop()
        aside = engine.data_dir / f"wal-overruled-{engine.starts}"
        await asyncio.to_thread((engine.data_dir / "wal").rename, aside)

    async def _see_who_leads(self) -> None:
        """What the store says, whatever became of a promotion."""
        epoch = await asyncio.to_thread(newest_epoch)
        for engine in self.engines:
            if epoch is not None and epoch.commands == engine.commands and engine is not self.leader:
                self.leader = engine
                self.journal.note(f"{engine.name} leads from block {epoch.first_block}, epoch {epoch.number}")

    async def _see_refused(self, replaced: Machine) -> None:
        """A leader that was replaced is started as if nothing had happened."""
        life = self._begin(replaced, "run_engine")
        deadline_s = time.monotonic() + _REFUSED_S
        while life.lives and not life.is_ready and time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_S)
        words = life.last_words()
        if life.code == 1 and _IS_LED in words:
            self.journal.refusals[words] += 1
        else:
            self.journal.blame(
                f"{replaced.name} was replaced, and started again without --follow it was not refused "
                f"({life.output.name}, code {life.code}): {words}"
            )
        life.clear()


def _end_of_log(folder: Path) -> tuple[int, int]:
    """Number and hash of the last block that a write-ahead log holds; read-only, whatever is torn at its end."""
    last = (0, 0)
    for block in Segments(LocalDisk(), folder, ".wal", "").peek():
        last = (block.number, block.hash)
    return last


def newest_epoch() -> Epoch | None:
    """From the store. Raises StoreError."""
    store = wiring.store()
    try:
        return newest(store.epochs())
    finally:
        store.close()


def json_of(done: Done) -> dict[str, Any]:
    """What a command printed with --json. Raises Failed."""
    try:
        document = json.loads(done.output)
    except ValueError:
        raise Failed(f"No JSON was printed, exit code {done.code}: {done.output[-500:]} {done.errors[-500:]}") from None
    if not isinstance(document, dict):
        raise Failed(f"What was printed is no JSON object: {done.output[-500:]}")
    return document

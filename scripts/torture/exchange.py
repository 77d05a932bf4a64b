"""Two engines and settlement, restarted whenever they end; decides which engine leads after the leader was killed."""

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
from matching.commandline.own_keys import LOCAL_KEY, network_of
from matching.core.epochs import Epoch, newest
from matching.core.errors import MatchingError
from matching.storage.disk import LocalDisk
from matching.storage.segments import Segments
from matching.transport import wire
from matching.transport.engine_roles import FOLLOWER
from scripts.torture.processes import POLL_S, Done, Failed, ProcessRun, comes_true, manage
from scripts.torture.report import Fault, Outage
from settlement import wiring

_MEMORY_EVERY_S = 0.5
_ASK_S = 2.0
_CATCH_UP_S = 2.0
_PROMOTE_S = 40.0
_PROMOTIONS = 0.9  # share of kills of a leader after which the follower is promoted, if possible
_FORCED = 0.3  # share of promotions with --force
_REFUSED_S = 120.0
_TRACEBACK = "Traceback (most recent call last)"
_SHOWN = 500  # characters
_NO_LEADER = "No engine answers at"
_IS_LED = "leads (epoch"
_OVERRULED = "are no longer part of the chain and are kept in"
_LOG_EVENTS = {
    "blocks went to the spill": "event='settlement.spilling'",
    "a spill was found at the start": "event='settlement.draining_spill'",
    "a follower joined from a snapshot": "event='follower.snapshot_loaded'",
    "blocks of a replaced engine were refused": "event='settlement.fenced_blocks_refused'",
    "trades were missing in the trail": "event='settlement.trail_completed'",
    "settlement asked for blocks": "event='settlement.blocks_requested'",
}
_LACKS_BLOCKS = "Settlement's store lacks blocks"
_MOVE_LOG = "Move the folder wal/ away"


@dataclass
class ManagedProcess:
    """A process that is restarted: what all its runs share, such as name, environment and random numbers."""

    name: str
    environment: Mapping[str, str]
    ready_mark: str
    rng: random.Random
    current_run: ProcessRun | None = None
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
        return self.current_run is not None and self.current_run.is_ready


@dataclass
class Journal:
    """Record of injected faults and observed events: counts by kind, and a file with times."""

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

    def record_fault(self, kind: str, detail: str = "", seconds: float = 0.0) -> None:
        """Records a fault that lasts for `seconds`."""
        self.disturbances[kind] += 1
        now_s = time.monotonic()
        self.faults.append(Fault(now_s, now_s + seconds))
        self.note(f"DO {kind} {detail}")

    def record_event(self, kind: str, detail: str = "") -> None:
        self.happenings[kind] += 1
        self.note(f"{kind} {detail}")

    def report_problem(self, problem: str) -> None:
        self.problems.append(problem)
        self.note(f"PROBLEM {problem}")


class Exchange:
    """`run` keeps all processes running until it is cancelled. The first engine is the first leader."""

    def __init__(
        self, folder: Path, engines: tuple[ManagedProcess, ManagedProcess], settlement: ManagedProcess, journal: Journal
    ) -> None:
        self.engines = engines
        self.settlement = settlement
        self.leader = engines[0]
        self.journal = journal
        self._output = folder / "output"
        self._output.mkdir()
        self.answered_up_to: Callable[[], int | None] = lambda: None
        """Returns the newest answered block, None while an answer may still be in transit."""
        self.is_promoting = False
        self._overrules = False  # a follower was promoted without blocks that were not answered
        self._succession = asyncio.Lock()
        self._began: list[ProcessRun] = []

    @property
    def follower(self) -> ManagedProcess:
        return self._other(self.leader)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        return (*self.engines, self.settlement)

    @property
    def is_ready(self) -> bool:
        return all(process.is_ready for process in self.processes)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for engine in self.engines:
                tasks.create_task(self._keep_engine_running(engine))
            tasks.create_task(self._keep_settlement_running())
            tasks.create_task(self._measure_memory())

    async def stop(self) -> None:
        """Stops all processes with SIGTERM, settlement last. Call after `run` was cancelled. Raises Failed."""
        for process in (self.follower, self.leader, self.settlement):
            if process.current_run is not None and process.current_run.is_running:
                code = await process.current_run.stop()
                if code:
                    raise Failed(f"{process.name} ended with {code} after SIGTERM: {process.current_run.last_output()}")

    def clear(self) -> None:
        for process_run in self._began:
            process_run.clear()

    def tracebacks(self) -> list[str]:
        """Processes that printed a traceback, which is always a bug."""
        outputs = ((process_run, process_run.output.read_text(errors="replace")) for process_run in self._began)
        return [
            f"{process_run.output.name} has a traceback: {text.partition(_TRACEBACK)[2][-_SHOWN:]}"
            for process_run, text in outputs
            if _TRACEBACK in text
        ]

    def count_log_events(self) -> Counter[str]:
        """Counts of log events that only occur after faults: shows what a run has covered."""
        outputs = [process_run.output.read_text(errors="replace") for process_run in self._began]
        found = {what: sum(text.count(mark) for text in outputs) for what, mark in _LOG_EVENTS.items()}
        return Counter({what: count for what, count in found.items() if count})

    def status(self, engine: ManagedProcess) -> dict[str, Any]:
        """Raises EngineUnreachable, BadMessage."""
        make_network = network_of(LOCAL_KEY)
        connection = Connection(engine.commands, timeout_s=_ASK_S, failover=False, make_network=make_network)
        try:
            return connection.ask(wire.STATUS)
        finally:
            connection.close()

    # Runs of processes

    def _begin(self, process: ManagedProcess, *arguments: str) -> ProcessRun:
        process.starts += 1
        output = self._output / f"{process.name}-{process.starts:03d}.log"
        process_run = ProcessRun(process.name, arguments, process.environment, output, process.ready_mark)
        self._began.append(process_run)
        self.journal.note(f"{process.name}: {' '.join(arguments)} ({output.name})")
        return process_run

    async def _run_until_exit(self, process: ManagedProcess, *arguments: str) -> ProcessRun:
        """Runs a process until it ends."""
        process.current_run = self._begin(process, *arguments)
        code = await process.current_run.end()
        self.journal.note(f"{process.name} ended with {code}")
        return process.current_run

    async def _keep_settlement_running(self) -> None:
        while True:
            process_run = await self._run_until_exit(self.settlement, "run_settlement")
            if not process_run.is_killed and self._overrules and _OVERRULED in process_run.last_output():
                self._overrules = False
                self.journal.record_event("an overruled spill was put aside", process_run.last_output())
            elif not process_run.is_killed:
                self.journal.report_problem(
                    f"settlement ended with {process_run.code} ({process_run.output.name}): {process_run.last_output()}"
                )
            await self._delay_restart(self.settlement)

    async def _keep_engine_running(self, engine: ManagedProcess) -> None:
        while True:
            leads = engine is self.leader
            arguments = [] if leads else ["--follow", self.leader.commands]
            process_run = await self._run_until_exit(engine, "run_engine", *arguments)
            ended_s = time.monotonic()
            if not process_run.is_killed:
                await self._check_reason_of_end(engine, process_run)
            await self._delay_restart(engine)
            async with self._succession:
                if engine is self.leader:
                    await self._succeed(engine, ended_s)

    async def _check_reason_of_end(self, engine: ManagedProcess, process_run: ProcessRun) -> None:
        """Decides whether an engine that ended by itself did so for a valid reason."""
        words = process_run.last_output()
        if process_run.code == 2 and _NO_LEADER in words and "--follow" in process_run.arguments:
            self.journal.record_event("a follower found no leader", words)
        elif process_run.code == 1 and _IS_LED in words and "--follow" not in process_run.arguments:
            # Its follower was promoted after `promote_engine` had given up waiting.
            self.journal.record_event("a leader found itself replaced", words)
            await self._read_leader()
        else:
            self.journal.report_problem(
                f"{engine.name} ended with {process_run.code} ({process_run.output.name}): {words}"
            )

    async def _delay_restart(self, process: ManagedProcess) -> None:
        """Waits for a random time, often none, as a supervisor that restarts processes does."""
        await asyncio.sleep(process.rng.choice((0.0, process.rng.uniform(0, 1.5))))

    async def _measure_memory(self) -> None:
        while True:
            for process in self.processes:
                if process.current_run is not None and process.current_run.is_running:
                    process.current_run.record_memory()
                    process.peak_bytes = max(process.peak_bytes, process.current_run.peak_bytes)
            await asyncio.sleep(_MEMORY_EVERY_S)

    # Succession

    def _other(self, engine: ManagedProcess) -> ManagedProcess:
        first, second = self.engines
        return second if engine is first else first

    async def _succeed(self, dead: ManagedProcess, ended_s: float) -> None:
        """Decides who leads next: the follower, if it has all blocks, or the same engine after its restart."""
        other, rng = self._other(dead), dead.rng
        if rng.random() < _PROMOTIONS and await self._has_everything(other, dead):
            remedy_s = time.monotonic()
            self.is_promoting = True
            await self._promote(other, forced=rng.random() < _FORCED)
            self.is_promoting = False
            await self._read_leader()
            if self.leader is other:
                self.journal.outages.append(Outage("promotion", ended_s, remedy_s))
                await self._check_refused(dead)
                return
        self.journal.outages.append(Outage("restart", ended_s, time.monotonic()))

    async def _has_everything(self, follower: ManagedProcess, dead: ManagedProcess) -> bool:
        """Whether a running follower has all blocks in the log of a dead leader, or at least all that were answered.

        Blocks at the end of the log that were not answered may be discarded.
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
                    self.journal.report_problem(
                        f"{follower.name} has another block {number} than the log of {dead.name}."
                    )
                return True
            if time.monotonic() > deadline_s:
                answered = self.answered_up_to()
                self.journal.note(
                    f"{follower.name} is at block {status['block']}, {dead.name} had {number}, answered {answered}"
                )
                self._overrules = status["role"] == FOLLOWER and answered is not None and status["block"] >= answered
                return self._overrules
            await asyncio.sleep(POLL_S)
        return False

    async def _promote(self, follower: ManagedProcess, *, forced: bool) -> None:
        """Asks for a promotion until it is granted or refused for a permanent reason."""
        deadline_s = time.monotonic() + _PROMOTE_S
        arguments = ["promote_engine", "--address", follower.commands, "--json", *(["--force"] if forced else [])]
        while follower.is_ready and time.monotonic() < deadline_s:
            done = await manage(follower.environment, *arguments)
            self.journal.note(f"{' '.join(arguments)}: {done.code} {done.output.strip()} {done.errors.strip()}")
            if done.code == 0:
                self.journal.record_event("promoted, forced" if forced else "promoted")
                return
            if _MOVE_LOG in done.errors:
                await self._move_log(follower)
                return
            if _LACKS_BLOCKS in done.errors:  # only the dead leader's log contains them
                self.journal.record_event("a follower could not lead: it lacks blocks that settlement has not stored")
                return
            self.journal.record_event("a promotion was refused for the moment")
            await asyncio.sleep(POLL_S)

    async def _move_log(self, engine: ManagedProcess) -> None:
        """Moves a log away whose end was overruled by a newer epoch, as the error message says."""
        self.journal.record_event("an overruled log was moved away", engine.name)
        if engine.current_run is not None:
            await engine.current_run.stop()
        aside = engine.data_dir / f"wal-overruled-{engine.starts}"
        await asyncio.to_thread((engine.data_dir / "wal").rename, aside)

    async def _read_leader(self) -> None:
        """Reads the current leader from the store, whatever the promotion command reported."""
        epoch = await asyncio.to_thread(newest_epoch)
        for engine in self.engines:
            if epoch is not None and epoch.commands == engine.commands and engine is not self.leader:
                self.leader = engine
                self.journal.note(f"{engine.name} leads from block {epoch.first_block}, epoch {epoch.number}")

    async def _check_refused(self, replaced: ManagedProcess) -> None:
        """Checks that a replaced leader is refused when it is started as a leader."""
        process_run = self._begin(replaced, "run_engine")
        await comes_true(lambda: process_run.is_ready or not process_run.is_running, _REFUSED_S)
        words = process_run.last_output()
        if process_run.code == 1 and _IS_LED in words:
            self.journal.refusals[words] += 1
        else:
            self.journal.report_problem(
                f"{replaced.name} was replaced, but was not refused when started again without --follow "
                f"({process_run.output.name}, code {process_run.code}): {words}"
            )
        process_run.clear()


def _end_of_log(folder: Path) -> tuple[int, int]:
    """Number and hash of the last complete block of a write-ahead log, which is not changed."""
    last = (0, 0)
    for block in Segments(LocalDisk(), folder, ".wal", "").peek():
        last = (block.number, block.hash)
    return last


def newest_epoch() -> Epoch | None:
    """The newest epoch in the store. Raises StoreError."""
    store = wiring.store()
    try:
        return newest(store.epochs())
    finally:
        store.close()


def json_of(done: Done) -> dict[str, Any]:
    """The JSON document that a command printed. Raises Failed."""
    try:
        document = json.loads(done.output)
    except ValueError:
        raise Failed(f"No JSON was printed, exit code {done.code}: {done.output[-500:]} {done.errors[-500:]}") from None
    if not isinstance(document, dict):
        raise Failed(f"The output is not a JSON object: {done.output[-500:]}")
    return document

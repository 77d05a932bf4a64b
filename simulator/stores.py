"""A real store behind a failing connection: by default the SQL store on an in-memory database."""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.management import call_command
from django.db import connections

from matching.core.epochs import Epoch
from settlement.stores.base import Projection, Store, StoreRejected, StoreUnavailable, Tables
from settlement.stores.sql.statements import PROJECTED_TABLES
from settlement.stores.sql.store import SqlStore
from simulator.world import Process, World

ALIAS = "simulation"
_TABLES = (
    "engine_blocks",
    "engine_block_parts",
    "projection_progress",
    "engine_epochs",
    "settlement_checkpoints",
    "dead_letters",
)
_LATENCY_S = 0.001
_PROJECTS = ("insert_batch", "insert_rows")
_WRITES = ("append_blocks", "begin_epoch", "put_dead_letter", *_PROJECTS)


def empty_database() -> None:
    """Creates or empties the in-memory database of this process. Never touches the one in the settings."""
    if ALIAS not in connections.databases:
        connections.databases[ALIAS] = {
            **connections.databases["default"],
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "OPTIONS": {},
        }
        call_command("migrate", "settlement", database=ALIAS, interactive=False, verbosity=0)
    with connections[ALIAS].cursor() as cursor:
        for table in (*_TABLES, *PROJECTED_TABLES):
            cursor.execute(f"DELETE FROM {table}")


class Server:
    """The database server, which may be unavailable."""

    def __init__(self, world: World, store: Store | None = None) -> None:
        """`store`: the real store; None: the SQL store on the database of `empty_database`."""
        self.world = world
        self.store = store or SqlStore(ALIAS, slow_query_ms=60_000)
        self.away_until_s = 0.0
        self.appended: dict[int, int] = {}  # block number → hash, of everything ever appended
        self.forced: set[int] = set()  # epochs of engines that were started with take-over
        self.began_at_s: dict[int, float] = {}  # of each epoch
        world.repeatedly("store unavailable", world.rates.store_away_a_minute, self._go_away)

    def _go_away(self) -> None:
        self.away_until_s = self.world.scheduler.now_s + self.world.rng.uniform(0.2, 10)

    @property
    def is_away(self) -> bool:
        return self.world.is_faulty and self.world.scheduler.now_s < self.away_until_s


class SimStore:
    """`settlement.stores.base.Store` as one process sees it."""

    def __init__(self, server: Server, process: Process, opened: Store | Tables | None = None) -> None:
        """`opened`: a stateful view of the server's store that this process opened; None: the shared store."""
        self.is_atomic = server.store.is_atomic
        self._server = server
        self._process = process
        self._opened = opened or server.store

    def at_checkpoint(self) -> Tables:
        """Reads through the returned view may fail, too."""
        if self.is_atomic:
            return self  # the rows are at the checkpoint
        return SimStore(self._server, self._process, self._failing("at_checkpoint")())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._failing(name)

    def _failing(self, name: str) -> Callable[..., Any]:
        real = getattr(self._opened, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._before(name, arguments)
            result = real(*arguments, **options)
            if isinstance(result, Iterator):
                return self._each(result)
            if name == "append_blocks":
                self._server.appended |= {block.number: block.hash for block in arguments[0]}
            if name == "begin_epoch":
                self._note_epoch(arguments[0])
            self._after(name)
            return result

        return call

    def _note_epoch(self, epoch: Epoch) -> None:
        self._server.began_at_s.setdefault(epoch.number, self._server.world.scheduler.now_s)
        if self._process.takes_over:
            self._server.forced.add(epoch.number)

    def _each(self, rows: Iterator[Any]) -> Iterator[Any]:
        for row in rows:
            self._process.io()
            yield row

    def _before(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in ("connect", "close"):
            return
        world = self._server.world
        self._process.io(world.rng.expovariate(1 / _LATENCY_S))
        if self._server.is_away:
            raise StoreUnavailable("The database does not answer: it is away.")
        if world.happens("store slow", world.rates.store_slow):
            self._process.wait(world.rng.uniform(0, 1))
        if world.happens("store timeout before", world.rates.store_before):
            self._process.wait(world.rng.uniform(0, 2))
            raise StoreUnavailable("The database does not answer: time-out.")
        if (
            name in _PROJECTS
            and _is_refusable(arguments[0])
            and world.happens("rows refused", world.rates.store_refuses)
        ):
            raise StoreRejected("The database rejects the statement: a value is too long.")

    def _after(self, name: str) -> None:
        world = self._server.world
        self._process.io()
        if name in _WRITES and world.happens("store timeout after", world.rates.store_after):
            self._process.wait(world.rng.uniform(0, 2))
            raise StoreUnavailable("The database does not answer: time-out.")


def _is_refusable(projection: Projection) -> bool:
    """Whether there are rows to reject. The checkpoint alone, which follows a dead letter, is never rejected."""
    return bool(projection.ledger_events or projection.orders)

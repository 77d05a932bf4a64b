"""Programs that use the key and the client id of a client, by mistake, for commands of their own."""

from collections.abc import Callable, Sequence

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core.errors import EngineRefused, EngineUnreachable
from matching.core.registry import Registry
from simulator.traffic import Trader
from simulator.world import Process, World

_FIRST_ACCOUNT = 10_000
_TIMEOUT_S = 4.0
_MAX_COMMANDS = 3


class SecondPrograms:
    """Each sends one batch. Its answer is recorded with those of the client, and may not be that of another batch."""

    def __init__(self, world: World, make_connection: Callable[..., Connection], traders: Sequence[Trader]) -> None:
        """`make_connection` is that of the traders."""
        self._world = world
        self._make_connection = make_connection
        self._traders = traders
        self._made = 0
        world.repeatedly(
            "second program with one client id",
            world.client_rates.second_programs_a_minute,
            self._start,
            world.client_rng,
        )

    def _start(self) -> None:
        trader = self._world.client_rng.choice(self._traders)
        if trader.session is not None:
            process = self._world.process("second program", self._world.machines[-1], may_crash=False)
            process.start(lambda: self._run(process, trader))

    def _run(self, process: Process, trader: Trader) -> None:
        used = trader.session
        assert used is not None
        connection = self._make_connection(
            used.connection.client_id, process, used.key, self._number(used.connection.next_number)
        )
        session = trader.new_session(connection, process, used.key)
        try:
            session.send(self._batch())
            while connection.in_flight:
                session.receive(_TIMEOUT_S)
        except EngineRefused as error:
            self._world.counts[f"second program refused: {error.code}"] += 1
        except EngineUnreachable:
            self._world.counts["second program not answered"] += 1
        finally:
            connection.close()
            process.end()

    def _number(self, following: int) -> int:
        """One that the client has used, or will use next."""
        return self._world.client_rng.choice((1, max(1, following - 1), following))

    def _batch(self) -> BatchBuilder:
        builder = BatchBuilder(Edge(Registry()))
        for _ in range(self._world.client_rng.randint(1, _MAX_COMMANDS)):
            self._made += 1
            builder.add({"command": "cancel_all", "account": _FIRST_ACCOUNT + self._made})
        return builder

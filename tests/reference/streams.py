"""Seeded streams of JSON commands that exercise every rule: many orders rest, many trade, some are invalid.

A stream applies its commands to its own reference exchange, so it knows open orders, best prices and balances. The same
arguments give the same commands.
"""

import json
from collections.abc import Callable, Iterator
from random import Random

from tests.reference.engine import DEFAULT_LIMITS
from tests.reference.forms import Event
from tests.reference.limits import Limits
from tests.reference.nonsense import FIELDS, MISUSED_FIELDS, NONSENSE_LINES, WRONG_VALUES
from tests.reference.stream_market import FAR_ACCOUNT, StreamMarket
from tests.reference.stream_operators import OperatorCommands
from tests.reference.stream_orders import OrderCommands
from tests.reference.stream_templates import TEMPLATES, Json

__all__ = ["FAR_ACCOUNT", "TEMPLATES", "RandomStream", "random_commands", "random_lines"]


def random_commands(
    seed: int, count: int, *, instruments: int = 2, accounts: int = 6, wild: bool = True
) -> Iterator[Json]:
    """`count` commands: definitions and deposits, then trading. Contains malformed commands only if `wild`."""
    stream = RandomStream(seed, instruments=instruments, accounts=accounts, wild=wild)
    for _ in range(count):
        command, _ = stream.step()
        yield command


def random_lines(seed: int, count: int, *, instruments: int = 2, accounts: int = 6, wild: bool = True) -> Iterator[str]:
    """The commands as lines of JSON; if `wild`, with blank and invalid lines in between."""
    random = Random(seed)
    for command in random_commands(seed, count, instruments=instruments, accounts=accounts, wild=wild):
        if wild and random.randrange(100) == 0:
            yield random.choice(NONSENSE_LINES)
        yield json.dumps(command, separators=random.choice([(",", ":"), (", ", ": ")]))


class RandomStream:
    """Makes one command after the other, and applies it to `exchange`."""

    def __init__(
        self,
        seed: int,
        *,
        instruments: int = 2,
        accounts: int = 6,
        wild: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        market = StreamMarket(
            Random(seed),
            instruments=instruments,
            accounts=accounts,
            first_template=seed % len(TEMPLATES),
            limits=limits,
        )
        self.exchange = market.exchange
        self.market = market
        self.wild = wild
        self.orders = OrderCommands(market)
        self.operators = OperatorCommands(market)
        self.setup = self.operators.setup()
        self.weights: tuple[tuple[int, Callable[[], Json]], ...] = (
            (450, self.orders.limit_order),
            (90, self.orders.market_order),
            (140, self.orders.trigger_order),
            (80, self.orders.oco),
            (70, self.orders.cancel),
            (170, self.orders.replace),
            (2, self.orders.cancel_all),
            (56, self.operators.deposit),
            (26, self.operators.withdraw),
            (28, self.operators.drain),
            (6, self.operators.status),
            (4, self.operators.again),
            (26, self.operators.update),
            (8, self.operators.account_status),
            (6, self.operators.account_fees),
        )

    def step(self) -> tuple[Json, list[Event]]:
        """The next command and its events."""
        command = next(self.setup, None) or self._next_command()
        return command, self.exchange.submit(command)

    def _next_command(self) -> Json:
        lifting = self.operators.lift_restriction()
        if lifting is not None:
            return lifting
        command = self.market.pick(*self.weights)()
        return self._spoil(command) if self.wild and self.market.chance(4) else command

    def _spoil(self, command: Json) -> Json:
        """The command with one field changed, removed or added; by chance it may still be valid."""
        market = self.market
        if command["command"] in ("order", "oco", "replace") and market.chance(50):
            return {**command, **market.random.choice(MISUSED_FIELDS)}
        names = [name for name in command if name != "command"]
        way = market.pick((60, "replace"), (20, "drop"), (15, "add"), (5, "rename"))
        if way == "replace":
            return {**command, market.random.choice(names): market.random.choice(WRONG_VALUES)}
        if way == "drop":
            dropped = market.random.choice(names)
            return {name: value for name, value in command.items() if name != dropped}
        if way == "add":
            return {**command, market.random.choice(FIELDS): market.random.choice(WRONG_VALUES)}
        return {
            **command,
            "command": market.random.choice((*WRONG_VALUES, "cancel", "deposit", "replace", "order", "oco")),
        }

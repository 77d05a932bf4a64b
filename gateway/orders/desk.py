"""What every endpoint of orders needs: the instrument that a request names, and the way to the engine and back.

After the engine has answered, the read model is awaited, so that a query that follows the answer finds what it did.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from gateway.model.instruments import Instrument
from gateway.model.queries import ReadModel, Unready
from gateway.orders.entry import NotExecuted, Outcome, OutcomeUnknown
from gateway.rest import errors
from gateway.rest.parameters import SYMBOL, Parameters
from gateway.rest.route import Request
from matching.client.edge import Encoded


class Engine(Protocol):
    async def submit(self, *commands: Sequence[Encoded]) -> list[Outcome]:
        """See `OrderEntry`."""


class Desk:
    def __init__(self, model: ReadModel, engine: Engine) -> None:
        self.model = model
        self._engine = engine

    def instrument(self, parameters: Parameters) -> Instrument:
        """The instrument that the parameter symbol names. Raises ApiError."""
        instrument = self.model.instrument_named(parameters.text("symbol", SYMBOL))
        if instrument is None:
            raise errors.invalid_symbol()
        return instrument

    async def submit(self, request: Request, *commands: Sequence[Encoded]) -> list[Outcome]:
        """The outcome of each command. Raises ApiError; Unready if nothing was sent."""
        self.model.check_ready()
        request.check_time(time.time_ns() // 1000)
        try:
            outcomes = await self._engine.submit(*commands)
        except NotExecuted as error:
            raise errors.unavailable() from error
        except OutcomeUnknown as error:
            raise errors.unknown_outcome() from error
        with suppress(Unready):  # the commands are done, so the client is told, even if the model lags behind
            await self.model.wait_for_block(max(outcome.block_number for outcome in outcomes))
        return outcomes

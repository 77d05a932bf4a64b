"""What every endpoint of orders needs: the instrument that a request names, and the way to the engine and back.

After the engine has answered, the read model is awaited, so that a query that follows the answer finds what it did.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from gateway.limits.orders import OrderLimits
from gateway.model.instruments import Instrument
from gateway.model.queries import ReadModel, Unready
from gateway.model.records import Order
from gateway.orders.entry import NotExecuted, Outcome, OutcomeUnknown
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import SYMBOL, Parameters
from gateway.rest.route import Request
from gateway.server import traffic
from gateway.server.traffic import Traffic
from matching.client.edge import Encoded
from matching.core.codes import CommandKind, EventKind, Reason
from matching.core.reading.event_rows import EventRow

_ORDERS_OF = {CommandKind.ORDER: 1, CommandKind.OCO: 1, CommandKind.OCO_STOP: 1}


class Engine(Protocol):
    async def submit(self, *commands: Sequence[Encoded]) -> list[Outcome]:
        """See `OrderEntry`."""


class Desk:
    def __init__(self, model: ReadModel, engine: Engine, limits: OrderLimits, counted: Traffic) -> None:
        self.model = model
        self.limits = limits
        self._engine = engine
        self._traffic = counted

    def instrument(self, parameters: Parameters) -> Instrument:
        """The instrument that the parameter symbol names. Raises ApiError."""
        instrument = self.model.instrument_named(parameters.text("symbol", SYMBOL))
        if instrument is None:
            raise errors.invalid_symbol()
        return instrument

    async def submit(self, request: Request, *commands: Sequence[Encoded]) -> list[Outcome]:
        """The outcome of each command. Orders among them count for the account's limits.

        Raises ApiError; Unready if nothing was sent.
        """
        self.model.check_ready()
        orders = sum(_ORDERS_OF.get(record.kind, 0) for command in commands for record in command)
        self._reserve(request.account, orders)
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = await self._outcomes(request, commands, orders)
        finally:
            self._count(request.account, orders, commands, outcomes)
        with suppress(Unready):  # the commands are done, so the client is told, even if the model lags behind
            await self.model.wait_for_block(max(outcome.block_number for outcome in outcomes))
        return list(outcomes)

    async def told(self, order: Order) -> Order:
        """The order as traders are told of it: a leg of an oco that was cancelled with the other one was cancelled by
        the user, and not because the other one traded. Its event follows that of the other one."""
        if order.reason != Reason.OCO or order.order_list_id is None:
            return order
        other_id = 2 * order.order_list_id + 1 - order.order_id
        other = await self.model.order(order.account, order.instrument_id, order_id=other_id)
        if other is None or other.reason != Reason.USER or order.updated_sequence != other.updated_sequence + 1:
            return order
        return order._replace(reason=Reason.USER)

    def _reserve(self, account: int, orders: int) -> None:
        try:
            self.limits.reserve(account, orders)
        except ApiError:
            self._traffic.count_orders(traffic.LIMITED, orders)
            raise

    async def _outcomes(
        self, request: Request, commands: Sequence[Sequence[Encoded]], orders: int
    ) -> Sequence[Outcome]:
        request.check_time(time.time_ns() // 1000)
        try:
            return await self._engine.submit(*commands)
        except NotExecuted as error:
            self._traffic.count_orders(traffic.NOT_EXECUTED, orders)
            raise errors.unavailable() from error
        except OutcomeUnknown as error:
            self._traffic.count_orders(traffic.UNKNOWN, orders)
            raise errors.unknown_outcome() from error

    def _count(
        self, account: int, reserved: int, commands: Sequence[Sequence[Encoded]], outcomes: Sequence[Outcome]
    ) -> None:
        """Counts the orders; keeps what was reserved for those that are placed and have not traded, returns the rest.

        Orders whose outcome is unknown are given back, too.
        """
        for command, outcome in zip(commands, outcomes, strict=False):
            if command[0].kind not in _ORDERS_OF:
                continue
            refused = outcome.refused
            self._traffic.count_orders(traffic.ACCEPTED if refused is None else refused.name.lower(), len(command))
            if refused is None:
                for order_id in range(outcome.sequence, outcome.sequence + len(command)):
                    if not _has_traded(order_id, outcome.events):
                        self.limits.note_placed(account, order_id)
                        reserved -= 1
        if reserved:
            self.limits.release(account, reserved)


def _has_traded(order_id: int, events: Sequence[EventRow]) -> bool:
    return any(event.kind == EventKind.TRADE and order_id in (event.order_id, event.other_order_id) for event in events)

"""Completes trades and candles of a model that began with a snapshot by those that the store has from before it."""

import asyncio
from collections.abc import Sequence

import structlog

from gateway.model.history import History
from gateway.model.instruments import Instrument
from gateway.model.model import Model
from gateway.model.queries import OlderUnavailable
from gateway.model.records import Trade
from gateway.model.state import State

log = structlog.get_logger(__name__)

_ATTEMPTS = 60
_RETRY_S = 0.5
"""Settlement may still be behind the snapshot when the gateway starts."""


async def backfill(model: Model, history: History) -> None:
    """Returns when it has been tried for every instrument, or when the model begins anew."""
    state = model.state
    if state.first_event == 1:
        return
    for instrument in model.instruments():
        if model.state is not state or not await _complete(state, instrument, history):
            return


async def _complete(state: State, instrument: Instrument, history: History) -> bool:
    """Whether the other instruments should be tried, too."""
    for _ in range(_ATTEMPTS):
        market = state.market(instrument.id)
        first = market.tape.first_number or state.replica.trade_count(instrument.id) + 1
        if first == 1:
            return True
        try:
            trades = await history.trades_before(instrument, state.first_event, state.bounds.trades)
            if _continue_to(trades, first):
                market.extend_back(await history.minutes(instrument, state.bounds.candles), trades)
                return True
        except OlderUnavailable as error:
            log.warning("gateway.history_unavailable", reason=str(error))
        await asyncio.sleep(_RETRY_S)
    log.warning("gateway.history_incomplete", symbol=instrument.symbol)
    return False


def _continue_to(trades: Sequence[Trade], first: int) -> bool:
    return bool(trades) and trades[-1].trade_number + 1 == first

"""The state of an engine as JSON, with names and decimals. Clients do not import this module: it loads the kernel."""

from typing import Any

from matching.client.jsonlines import dumps
from matching.core.engine import Engine, state_digest
from matching.core.hashes import hash_text
from matching.core.reading.open_orders import OpenOrder, PendingOrder
from matching.core.registry import Registry


def summary(engine: Engine, trades: int) -> dict[str, Any]:
    """The last line of a replay: counts and the engine's final state."""
    state = state_form(engine)
    return {
        "summary": True,
        "commands": engine.next_command_sequence - 1,
        "events": engine.next_event_sequence - 1,
        "trades": trades,
        "block": engine.block_number,
        "state_hash": hash_text(engine.state_hash),
        "state_digest": state_digest(dumps(state)),
        **state,
    }


def state_form(engine: Engine) -> dict[str, Any]:
    """Non-zero balances by (account, asset symbol), open orders in priority order and, where there are any, orders that
    wait for their trigger by order_id, with decimal amounts."""
    assets = {asset.symbol: asset.unit for asset in engine.registry.assets}
    balances = [
        {
            "account": account,
            "asset": symbol,
            "available": assets[symbol].text(available),
            "locked": assets[symbol].text(locked),
        }
        for account, symbol, available, locked in engine.balances()
    ]
    pending = [_pending_order(order, engine.registry) for order in engine.pending_orders()]
    return {
        "balances": balances,
        "open_orders": [_open_order(order, engine.registry) for order in engine.open_orders()],
        **({"pending_orders": pending} if pending else {}),
    }


def _open_order(order: OpenOrder, registry: Registry) -> dict[str, Any]:
    instrument = registry.instrument_by_symbol[order.symbol]
    visible = {} if order.visible is None else {"visible": instrument.lot.text(order.visible)}
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "price": instrument.tick.text(order.price),
        "quantity": instrument.lot.text(order.quantity),
        "remaining": instrument.lot.text(order.remaining),
        **visible,
    }


def _pending_order(order: PendingOrder, registry: Registry) -> dict[str, Any]:
    instrument = registry.instrument_by_symbol[order.symbol]
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "trigger_price": instrument.tick.text(order.trigger_price),
        "price": None if order.price is None else instrument.tick.text(order.price),
        "quantity": instrument.lot.text(order.quantity),
    }

"""The state of an engine as JSON, with names and decimals. Clients do not import this module: it loads the kernel."""

from typing import Any

from matching.client.jsonlines import dumps
from matching.core.engine import Engine, state_digest
from matching.core.hashes import hash_text


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
    """Non-zero balances by (account, asset symbol) and open orders in priority order, with decimal amounts."""
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
    open_orders = []
    for order in engine.open_orders():
        instrument = engine.registry.instrument_by_symbol[order.symbol]
        open_orders.append(
            {
                "order_id": order.order_id,
                "account": order.account,
                "symbol": order.symbol,
                "side": order.side,
                "price": instrument.tick.text(order.price),
                "quantity": instrument.lot.text(order.quantity),
                "remaining": instrument.lot.text(order.remaining),
            }
        )
    return {"balances": balances, "open_orders": open_orders}

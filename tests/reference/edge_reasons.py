"""Tells for which reason the edge refuses a command, for tests that change one field of a valid one."""

from tests.reference.forms import Event
from tests.reference.tape import Tape

ORDER: Event = {"command": "order", "account": 1, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "limit"}
LIMIT_ORDER: Event = {**ORDER, "price": "5", "quantity": "1"}
MARKET_ORDER: Event = {**ORDER, "order_type": "market", "quantity": "1"}
MISSING = object()


def changed(command: Event, changes: Event) -> Event:
    return {name: value for name, value in {**command, **changes}.items() if value is not MISSING}


def reason_of(command: object, tape: Tape | None = None) -> str | None:
    """The reason of a refusal at the edge, None if the command was sequenced."""
    exchange = (tape or Tape()).exchange
    before = exchange.command_count
    events = exchange.submit(command)
    if exchange.command_count > before:
        return None
    assert list(events[0]) == ["event", "sequence", "line", "command", "reason"]
    return str(events[0]["reason"])

"""The JSON Lines form: a run of command lines through a fresh reference exchange."""

from collections.abc import Iterable

from tests.reference.engine import DEFAULT_LIMITS, ReferenceExchange
from tests.reference.forms import Event
from tests.reference.limits import Limits


def run_lines(lines: Iterable[str], limits: Limits = DEFAULT_LIMITS) -> tuple[list[Event], Event]:
    """(events, summary) as section 7 of docs/semantics.md has them, but for `block` and `state_hash`."""
    exchange = ReferenceExchange(limits)
    events = [event for number, line in enumerate(lines, start=1) for event in exchange.submit_line(line, number)]
    return events, exchange.summary()

"""The kernel and the slow reference engine side by side: every command is applied to both."""

from collections import Counter
from typing import Any

from tests.matching.exchanges import KernelExchange, lines
from tests.matching.invariants import check_invariants
from tests.reference.engine import ReferenceExchange

Event = dict[str, Any]


def reference_state(reference: ReferenceExchange) -> dict[str, Any]:
    """The reference's state in the form of `KernelExchange.state`."""
    state = {"balances": reference.balances(), "open_orders": reference.open_orders()}
    pending = reference.pending_orders()
    return {**state, "pending_orders": pending} if pending else state


class Both:
    def __init__(self) -> None:
        self.kernel, self.reference = KernelExchange(), ReferenceExchange()
        self.supplies: Counter[str] = Counter()  # deposits − withdrawals by asset, in its smallest unit

    def do(self, command: str, **fields: object) -> list[Event]:
        """Applies a command to both; returns its events, after checking that they are equal."""
        given = {"command": command, **fields}
        found = self.kernel.submit(given)
        assert lines(found) == lines(self.reference.submit(given)), given
        for event in found:
            if event["event"] in ("deposited", "withdrawn"):
                units = self.kernel.engine.registry.asset_by_symbol[event["asset"]].unit.count(event["amount"])
                self.supplies[event["asset"]] += units if event["event"] == "deposited" else -units
        return found

    def check(self) -> None:
        """Checks that both states are equal and that the invariants hold."""
        assert self.kernel.state() == reference_state(self.reference)
        check_invariants(self.kernel.engine, self.supplies)

    def restart(self) -> None:
        self.kernel.restart()

    def refusal(self, command: str, **fields: object) -> str | None:
        """The reject reason, if the command had no other event."""
        first = self.do(command, **fields)[0]
        return str(first["reason"]) if first["event"] == "rejected" else None

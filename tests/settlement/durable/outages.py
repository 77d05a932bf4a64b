"""Stores that do not answer for a while."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matching.transport import wire
from settlement.durable.spill import peek
from settlement.stores.base import Store, StoreUnavailable
from tests.settlement.fakes import ScriptedFeed

CONTRACT = sorted(
    name
    for part in (Store, *Store.__bases__)
    for name, member in vars(part).items()
    if inspect.isfunction(member) and not name.startswith("_") and name not in ("connect", "close")
)
"""The methods that talk to the store."""


class Outage:
    """The store does not answer from the first call of `method` on, until `end`."""

    def __init__(self, store: Store, method: str = "append_blocks") -> None:
        self.is_on = False
        self.asked = list[str]()
        for name in CONTRACT:
            setattr(store, name, self._failing(name, getattr(store, name), name == method))

    def end(self) -> None:
        self.is_on = False

    def _failing(self, name: str, method: Callable[..., Any], begins: bool) -> Callable[..., Any]:
        did_begin = False

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal did_begin
            if begins and not did_begin:
                did_begin = self.is_on = True
            if self.is_on:
                self.asked.append(name)
                raise StoreUnavailable("The database does not answer.")
            return method(*arguments, **options)

        return call


def at_confirmation(feed: ScriptedFeed, number: int, act: Callable[[], object]) -> None:
    """Acts once, when block `number` is confirmed."""
    confirm, waiting = feed.confirm, [act]

    def noting(confirmation: wire.Confirmation) -> None:
        confirm(confirmation)
        if confirmation.number >= number and waiting:
            waiting.pop()()

    feed.confirm = noting  # type: ignore[method-assign]


def spilled(folder: Path) -> list[int]:
    return [block.number for block in peek(folder / "spill")]

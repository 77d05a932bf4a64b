"""Planted defects of the order types: each breaks a rule in all engines alike, or in an engine after a snapshot."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.codes import AccountStatus
from matching.core.engine import Engine
from matching.core.kernel import Pools
from matching.core.layout import NO_ASK

_BLOCKS = 5


def _trigger_skipped() -> Iterator[Any]:
    """The nearest trigger prices are forgotten, so the orders that wait there are passed over."""

    def damage(pools: Pools) -> None:
        pools.instruments["rise_at"], pools.instruments["fall_at"] = NO_ASK, 0

    yield _after_some_blocks(damage)


def _oco_leg_left_alive() -> Iterator[Any]:
    """The legs of a one-cancels-other lose each other, so the second one stays when the first one ends."""

    def damage(pools: Pools) -> None:
        pools.extras["partner"][_in_use(pools)] = 0

    yield _after_some_blocks(damage)


def _hidden_lot_lost() -> Iterator[Any]:
    """An iceberg loses one of the lots that it does not show."""

    def damage(pools: Pools) -> None:
        pools.extras["hidden"] -= pools.extras["hidden"] > 0

    yield _after_some_blocks(damage)


def _freeze_forgotten() -> Iterator[Any]:
    """A snapshot does not keep which accounts may not trade."""
    real = snapshots.decode

    def decode(data: bytes) -> Engine:
        engine = real(data)
        for rows in (engine.pools.accounts, engine.pools.traders):
            rows["status"] = AccountStatus.ACTIVE
        return engine

    yield mock.patch.object(snapshots, "decode", decode)


def _after_some_blocks(damage: Callable[[Pools], None]) -> Any:
    real = Engine.apply

    def apply(self: Engine, *arguments: Any, **options: Any) -> Block:
        block = real(self, *arguments, **options)
        if block.number % _BLOCKS == 0:
            damage(self.pools)
        return block

    return mock.patch.object(Engine, "apply", apply)


def _in_use(pools: Pools) -> Any:
    """Indexes of the extras of open orders: `partner` of a free one is the next free one."""
    return pools.orders["extra"][pools.orders["order_id"] != 0]


ORDER_DEFECTS = (_trigger_skipped, _oco_leg_left_alive, _hidden_lot_lost, _freeze_forgotten)

"""The operator of the keys: replaces keys while they are used, and revokes the old ones, early or late."""

from collections.abc import Callable
from typing import NamedTuple

from simulator.trust.keys import Holder, Keys
from simulator.world import World

_MAX_DELAY_S = 3.0
_STOLEN = 0.3
"""Share of keys that are revoked before the program that uses them has the new one."""


class Restartable(NamedTuple):
    """A holder of a key, and what makes its program use the new one."""

    holder: Holder
    restart: Callable[[], None]


class KeyOperator:
    def __init__(self, world: World, keys: Keys, holders: list[Restartable]) -> None:
        self._world = world
        self._keys = keys
        self._holders = holders
        world.repeatedly("key replaced", world.key_rates.replaced_keys_a_minute, self._replace, world.key_rng)

    def _replace(self) -> None:
        rng, scheduler = self._world.key_rng, self._world.scheduler
        holder, restart = rng.choice(self._holders)
        old = holder.replace_key()
        restart_s = rng.uniform(0, _MAX_DELAY_S)
        revoke_s = 0.0 if rng.random() < _STOLEN else rng.uniform(0, 2 * _MAX_DELAY_S)
        scheduler.after(restart_s, restart)
        scheduler.after(revoke_s, lambda: self._keys.revoke(old))

"""Where engines take commands: as the settings say, and where else one leads."""

from collections.abc import Callable

from django.conf import settings

from matching.client.leaders import known
from matching.core.epochs import Epoch
from matching.core.errors import EngineUnreachable

NewestEpoch = Callable[[], Epoch | None]
"""Gives the newest epoch that the store knows; None where it knows none or does not answer."""


def replicas() -> list[str]:
    """Command addresses of all replicas of one log; of the one engine where ENGINE_REPLICAS names none."""
    return settings.ENGINE_REPLICAS or [settings.ENGINE_COMMAND_ADDRESS]


def addresses() -> str:
    """The same, as commands take them: commas between."""
    return ",".join(replicas())


def unreachable(error: EngineUnreachable, asked: str, newest_epoch: NewestEpoch) -> str:
    """The error's sentence, and where the newest epoch's engine takes commands, if that is none of those `asked`.

    After a promotion the settings still name the engine that led before. The store stands above this package, so the
    caller says how it is asked.
    """
    epoch = newest_epoch()
    if epoch is None or epoch.commands in known(asked).addresses:
        return str(error)
    return (
        f"{error} By the store the engine at {epoch.commands} leads, in epoch {epoch.number}: "
        f"try --address {epoch.commands}."
    )

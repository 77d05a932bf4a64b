"""Command addresses of engines: those in the settings, and that of the newest epoch's leader."""

from collections.abc import Callable

from django.conf import settings

from matching.client.leaders import engine_directory
from matching.core.epochs import Epoch
from matching.core.errors import EngineUnreachable

NewestEpoch = Callable[[], Epoch | None]
"""Returns the newest epoch in the store; None if there is none or the store does not answer."""


def replicas() -> list[str]:
    """Command addresses of all replicas, or of the single engine if ENGINE_REPLICAS is empty."""
    return settings.ENGINE_REPLICAS or [settings.ENGINE_COMMAND_ADDRESS]


def addresses() -> str:
    """The same, separated by commas, as `--address` takes them."""
    return ",".join(replicas())


def unreachable_text(error: EngineUnreachable, asked: str, newest_epoch: NewestEpoch) -> str:
    """The error's sentence, plus the newest leader's command address if that is not among those `asked`.

    After a promotion the settings still name the previous leader. The caller passes in how to ask the store, because
    this package may not import settlement.
    """
    epoch = newest_epoch()
    if epoch is None or epoch.commands in engine_directory(asked).addresses:
        return str(error)
    return (
        f"{error} According to the store the engine at {epoch.commands} leads, in epoch {epoch.number}: "
        f"try --address {epoch.commands}."
    )

"""Where engines take commands, as the settings say."""

from django.conf import settings


def replicas() -> list[str]:
    """Command addresses of all replicas of one log; of the one engine where ENGINE_REPLICAS names none."""
    return settings.ENGINE_REPLICAS or [settings.ENGINE_COMMAND_ADDRESS]


def addresses() -> str:
    """The same, as commands take them: commas between."""
    return ",".join(replicas())

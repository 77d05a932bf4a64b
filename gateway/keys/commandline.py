"""What the commands of API keys have in common."""

from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.db import Error as DatabaseError

from gateway.keys.encryption import API_KEYS, Purpose, SecretCipher
from gateway.keys.errors import BadKey
from matching.commandline.command import ProjectCommand
from matching.core.errors import MatchingError

_COULD_NOT_RUN = 2


class ApiKeyCommand(ProjectCommand):
    """Translates the errors that `handle` raises into one sentence and exit code 2."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        try:
            return super().execute(*arguments, **options)
        except MatchingError as error:
            raise CommandError(str(error), returncode=_COULD_NOT_RUN) from error
        except DatabaseError as error:
            reason = str(error).rstrip(".")
            raise CommandError(
                f"The database of DATABASE_URL cannot be used: {reason}. Start it, or run manage.py migrate.",
                returncode=_COULD_NOT_RUN,
            ) from error


def secret_cipher(purpose: Purpose = API_KEYS) -> SecretCipher:
    """The cipher of this site's secrets. Raises BadKey without a setting for it."""
    setting: str = settings.API_KEYS_SECRET or settings.SECRET_KEY
    if not setting:
        raise BadKey("Set API_KEYS_SECRET to at least 32 random characters: it encrypts the secrets of API keys.")
    return SecretCipher(setting, purpose)

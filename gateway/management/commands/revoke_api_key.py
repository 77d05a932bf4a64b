from typing import Any

from django.core.management import CommandParser

from gateway.keys.commandline import ApiKeyCommand
from gateway.keys.stored_keys import revoke_key


class Command(ApiKeyCommand):
    help = "Revoke an API key for good. Gateways refuse it within a second, also in sessions that are open."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the API key, as create_api_key printed it")

    def handle(self, *, key: str, **options: Any) -> str:
        revoke_key(key)
        return f"revoked {key}"

from typing import Any

from django.core.management import CommandParser

from back_office.audit import api_keys
from gateway.keys.commandline import ApiKeyCommand


class Command(ApiKeyCommand):
    help = "Revoke an API key for good. Gateways refuse it within a second, also in sessions that are open."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="KEY", help="the API key, as create_api_key printed it")
        parser.add_argument("--reason", default="", metavar="TEXT", help="for the audit log")

    def handle(self, *, key: str, reason: str, **options: Any) -> str:
        api_keys.revoke(key, reason=reason)
        return f"revoked {key}"

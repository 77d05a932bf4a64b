import json
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from back_office.audit import api_keys
from gateway.keys.commandline import ApiKeyCommand, secret_cipher
from gateway.keys.errors import BadKey
from gateway.keys.key import KeyType, Permission
from gateway.keys.stored_keys import Made, Wanted, networks
from matching.commandline.number_options import whole_number


def permissions(text: str) -> frozenset[Permission]:
    """Argparse type of read,trade."""
    try:
        return frozenset(Permission(one) for one in text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(f"{text[:40]!r} is not a list of permissions, such as read,trade.") from error


class Command(ApiKeyCommand):
    help = "Make an API key for an account. A secret is shown once, and never again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", type=whole_number(0), required=True, metavar="N", help="account that it uses")
        parser.add_argument(
            "--permissions", type=permissions, default=permissions("read"), help="read, trade or both; default: read"
        )
        parser.add_argument("--type", choices=[one.value for one in KeyType], help="hmac, ed25519 or rsa")
        parser.add_argument("--public-key", type=Path, metavar="FILE", help="public Ed25519 or RSA key in PEM form")
        parser.add_argument(
            "--ip", nargs="+", action="extend", default=[], metavar="ADDRESS", help="use it from these only"
        )
        parser.add_argument("--label", default="", metavar="TEXT", help="what it is for")
        parser.add_argument("--reason", default="", metavar="TEXT", help="for the audit log")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, account: int, ip: list[str], label: str, as_json: bool, **options: Any) -> str:
        public_key = _read(options["public_key"], options["type"])
        wanted = Wanted(account, options["permissions"], public_key, networks(ip), label)
        made = api_keys.make(wanted, secret_cipher(), reason=options["reason"])
        if as_json:
            return json.dumps({"api_key": made.name, "type": made.type.value, "secret": made.secret})
        return _text(made)


def _read(file: Path | None, type_name: str | None) -> bytes | None:
    """The public key. Raises CommandError, BadKey."""
    if file is None:
        if type_name not in (None, KeyType.HMAC):
            raise BadKey(f"An {type_name} key needs --public-key FILE: the private key stays with the trader.")
        return None
    if type_name == KeyType.HMAC:
        raise BadKey("An hmac key has a secret and no public key.")
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=2) from error


def _text(made: Made) -> str:
    lines = [f"api key  {made.name}", f"type     {made.type.value}"]
    if made.secret is not None:
        lines += [f"secret   {made.secret}", "The secret is not shown again."]
    return "\n".join(lines)

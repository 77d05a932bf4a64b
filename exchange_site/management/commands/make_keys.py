import json
from typing import Any

from django.core.management import CommandParser

from exchange_site.operations.register_exchange import RegisterExchange, ask_store, publish
from matching.commandline.number_options import whole_number
from matching.commandline.own_keys import key_folder, register_file
from matching.storage.key_making import MadeKey, complete_signing_keys, make_key
from matching.storage.local_keys import make_local_keys
from matching.transport.key_register import KeyRole
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = "Make a key for a program or a person, and register it. Needs root.key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=[role.value for role in KeyRole], metavar="ROLE", help=_ROLES)
        parser.add_argument("name", metavar="NAME", help="lowercase letters, digits, dots, hyphens and underscores")
        parser.add_argument(
            "--account",
            type=whole_number(0),
            nargs="+",
            action="extend",
            default=[],
            dest="accounts",
            metavar="N",
            help="accounts that the trader may use; can be given several times",
        )
        parser.add_argument(
            "--replace",
            action="store_true",
            help="replace the key of this name; the old one stays valid until revoke_key",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, role: str, name: str, accounts: list[int], replace: bool, as_json: bool, **options: Any) -> str:
        keys = key_folder()
        make_local_keys(keys)  # with PLAIN_SOCKETS the first start has made none
        ask_store(RegisterExchange(register_file()).pass_on)  # to change the newest register
        complete_signing_keys(keys)
        made = make_key(keys, KeyRole(role), name, accounts, replacing=replace)
        self.so_far = f"the key {role} {name} is made, and registered on this machine"
        ask_store(lambda store: publish(store, register_file()), self.stderr.write)
        file = str(keys.path_of(made.own.role, made.own.name))
        return json.dumps(_document(made, file)) if as_json else _text(made, file)


_ROLES = ", ".join(role.value for role in KeyRole)


def _document(made: MadeKey, file: str) -> dict[str, Any]:
    own = made.own
    key = {"role": own.role.value, "name": own.name, "accounts": list(made.accounts), "public": own.public}
    return {**key, "file": file, "serial": made.serial, "replaces": list(made.replaces)}


def _text(made: MadeKey, file: str) -> str:
    lines = [
        f"key file    {file}",
        f"public key  '{made.own.public}'",
        f"register    serial {made.serial}",
    ]
    lines += [f"The old key is valid until you run: manage.py revoke_key '{public}'" for public in made.replaces]
    return "\n".join(lines)

import json
from typing import Any

from django.core.management import CommandParser

from exchange_site.operations.register_exchange import RegisterExchange, ask_store
from matching.commandline.own_keys import key_folder, register_file
from matching.storage.key_files import KeyFolder
from matching.transport.key_register import KeyRegister, RegisteredKey
from settlement.commandline import ExchangeCommand


class Command(ExchangeCommand):
    help = "List the registered keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, as_json: bool, **options: Any) -> str:
        keys = key_folder()
        ask_store(RegisterExchange(register_file()).pass_on, self.stderr.write)
        register = register_file().current()
        return json.dumps(document(register, keys)) if as_json else text(register, keys)


def document(register: KeyRegister, keys: KeyFolder) -> dict[str, Any]:
    listed = [
        {
            "role": key.role.value,
            "name": key.name,
            "accounts": list(key.accounts),
            "public": key.public,
            "revoked": key.revoked,
            "is_on_this_machine": is_here(key, keys),
        }
        for key in register.keys.values()
    ]
    return {"exchange": register.exchange, "serial": register.serial, "keys": listed}


def text(register: KeyRegister, keys: KeyFolder) -> str:
    lines = [f"exchange {register.exchange}, register serial {register.serial}"]
    rows = [("role", "name", "state", "file", "public key", "accounts")]
    for key in register.keys.values():
        state, place = "revoked" if key.revoked else "active", "here" if is_here(key, keys) else "-"
        rows.append((key.role.value, key.name, state, place, key.public, ",".join(map(str, key.accounts)) or "-"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines)


def is_here(key: RegisteredKey, keys: KeyFolder) -> bool:
    """Whether the key's file is in the folder of this machine."""
    return key.name in keys.names(key.role) and keys.key_file(key.role, key.name).own.public == key.public

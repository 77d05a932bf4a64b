import json
from datetime import datetime
from typing import Any

from django.core.management import CommandParser

from gateway.keys.commandline import ApiKeyCommand
from gateway.keys.stored_keys import stored_keys
from gateway.models import StoredApiKey
from matching.commandline.number_options import whole_number

_HEAD = ("api key", "account", "type", "permissions", "state", "last use", "addresses", "label")


class Command(ApiKeyCommand):
    help = "List the API keys, revoked ones too."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", type=whole_number(0), metavar="N", help="those of this account only")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, account: int | None, as_json: bool, **options: Any) -> str:
        keys = list(stored_keys(account))
        return json.dumps({"keys": [_document(key) for key in keys]}) if as_json else _table(keys)


def _document(key: StoredApiKey) -> dict[str, Any]:
    return {
        "api_key": key.name,
        "account": key.account,
        "type": key.type,
        "permissions": key.permissions.split(","),
        "ip": key.networks.split(",") if key.networks else [],
        "label": key.label,
        "created_at": _time(key.created_at),
        "last_used_at": _time(key.last_used_at),
        "revoked_at": _time(key.revoked_at),
    }


def _table(keys: list[StoredApiKey]) -> str:
    rows = [_HEAD]
    for key in keys:
        state, used = "revoked" if key.revoked_at else "active", _time(key.last_used_at) or "-"
        rows.append(
            (key.name, str(key.account), key.type, key.permissions, state, used, key.networks or "-", key.label or "-")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None

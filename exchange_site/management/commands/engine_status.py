import json
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from exchange_site.engine_host.newest_epoch import newest_epoch
from matching.client.connection import Connection
from matching.commandline import engine_addresses
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.own_keys import OBSERVER_KEY, KeyName, key_name, network_of
from matching.core.errors import EngineUnreachable, MatchingError
from matching.transport import wire

_TIMEOUT_S = 3.0


class Command(ProjectCommand):
    help = (
        "Print the status of a running engine: role, block, sequence, state hash, ring, and the reason if it is halted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--address",
            default=settings.ENGINE_COMMAND_ADDRESS,
            help="command addresses; if there are several, the leader is asked",
        )
        parser.add_argument(
            "--key", type=key_name, default=OBSERVER_KEY, metavar="ROLE-NAME", help="key in DATA_DIR/keys to use"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, address: str, key: KeyName, as_json: bool, **options: Any) -> str:
        try:
            with stoppable(), closing(_connection(address, key)) as connection:
                status = connection.ask(wire.STATUS)
        except EngineUnreachable as error:
            raise CommandError(engine_addresses.unreachable_text(error, address, newest_epoch), returncode=2) from error
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps(status) if as_json else text(status)


def _connection(address: str, key: KeyName) -> Connection:
    """Raises AddressUnusable, KeysUnusable."""
    return Connection(address, timeout_s=_TIMEOUT_S, failover="," in address, make_network=network_of(key))


def text(status: dict[str, Any]) -> str:
    ring = status["ring"]
    return "\n".join(
        (
            f"role        {status['role']}",
            f"epoch       {status['epoch']}",
            f"block       {status['block']}",
            f"sequence    {status['command_sequence']}",
            f"state hash  {status['state_hash']}",
            f"ring        {ring['blocks']} of {ring['max_blocks']} blocks, "
            f"{ring['bytes']} of {ring['max_bytes']} bytes, {ring['unconfirmed_blocks']} unconfirmed",
            f"halted      {status['halted_reason'] or 'no'}",
            f"clock       {status.get('clock_fault') or 'plausible'}",
            f"followers   {', '.join(follower['commands'] for follower in status['followers']) or 'none'}",
        )
    )

import json
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from matching.client.connection import Connection
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import seconds
from matching.commandline.own_keys import LOCAL_KEY, KeyName, key_name, network_of
from matching.core.errors import MatchingError
from matching.transport import wire

_PATIENCE_S = 3.0


class Command(ProjectCommand):
    help = "Promote a follower to leader in a new epoch, which fences the previous leader."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--address", default=settings.ENGINE_COMMAND_ADDRESS, help="the follower's command address")
        parser.add_argument("--force", action="store_true", help="even if its leader is alive or blocks are missing")
        parser.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="time to catch up")
        parser.add_argument(
            "--key", type=key_name, default=LOCAL_KEY, metavar="ROLE-NAME", help="key in DATA_DIR/keys to use"
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, address: str, key: KeyName, force: bool, timeout: float, as_json: bool, **options: Any) -> str:
        try:
            with stoppable(lambda: "engine_status shows whether the engine leads"):
                answer = promote(address, timeout, key=key, forced=force)
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        if as_json:
            self.stdout.write(json.dumps(answer))
        if not answer["ok"]:
            raise CommandError(str(answer["message"]), returncode=1)
        return "" if as_json else f"{address} leads from block {answer['block']}, epoch {answer['epoch']}"


def promote(address: str, timeout_s: float, *, key: KeyName = LOCAL_KEY, forced: bool) -> dict[str, Any]:
    """The engine's answer.

    Raises EngineUnreachable, NoAnswer, EngineRefused, BadMessage, AddressUnusable, KeysUnusable.
    """
    connection = Connection(address, timeout_s=_PATIENCE_S, failover=False, make_network=network_of(key))
    try:
        connection.ask(wire.STATUS)  # fails fast if no engine is there; catching up may take long
        return connection.ask(wire.PROMOTE_FORCED if forced else wire.PROMOTE, timeout_s)
    finally:
        connection.close()

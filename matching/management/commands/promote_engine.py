import json
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import seconds
from matching.commandline.own_keys import LOCAL_KEY, KeyName, key_name
from matching.commandline.promotion import follower_at
from matching.core.errors import MatchingError


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
            with (
                stoppable(lambda: "engine_status shows whether the engine leads"),
                follower_at(address, key=key) as follower,
            ):
                answer = follower.promote(timeout, forced=force)
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        if as_json:
            self.stdout.write(json.dumps(answer))
        if not answer["ok"]:
            raise CommandError(str(answer["message"]), returncode=1)
        return "" if as_json else f"{address} leads from block {answer['block']}, epoch {answer['epoch']}"

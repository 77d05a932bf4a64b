import time
from typing import Any

from django.core.management import CommandError, CommandParser

from exchange_site.engine_host.newest_epoch import newest_epoch
from matching.client import leaders
from matching.client.client import Client
from matching.commandline import engine_addresses
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stop_on_signals
from matching.commandline.number_options import per_second, seconds_or_none, seed_number, whole_number
from matching.commandline.own_keys import LOCAL_KEY, key_name, network_of
from matching.core.errors import EngineRefused, EngineUnreachable, KeysUnusable, MatchingError
from matching.workloads.demo_session import Session

_TIMEOUT_S = 3.0


class Command(ProjectCommand):
    help = "Run simulated makers and takers on a running engine until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate", type=per_second, default=40.0, metavar="PER_SECOND", help="commands per second; default: 40"
        )
        parser.add_argument("--seed", type=seed_number, default=1, help="seed of the random market; default: 1")
        parser.add_argument(
            "--commands", type=whole_number(1), metavar="N", help="stop after N commands; default: never"
        )
        parser.add_argument(
            "--wait",
            type=seconds_or_none,
            default=180.0,
            metavar="SECONDS",
            help="how long to wait for an unreachable engine",
        )
        parser.add_argument(
            "--address", default=engine_addresses.addresses(), help="command addresses, separated by commas"
        )
        parser.add_argument(
            "--key", type=key_name, default=LOCAL_KEY, metavar="ROLE-NAME", help="key in DATA_DIR/keys to use"
        )

    def handle(self, *, rate: float, seed: int, commands: int | None, wait: float, **options: Any) -> str:
        address: str = options["address"]
        stop = stop_on_signals()
        # Shared by all connections, so that each uses the leader that earlier ones found.
        directory = leaders.engine_directory(address)
        try:
            make_network = network_of(options["key"])
        except KeysUnusable as error:
            raise CommandError(str(error), returncode=2) from error
        session = Session(
            connect=lambda: Client(directory, timeout_s=_TIMEOUT_S, make_network=make_network),
            seed=seed,
            rate=rate,
            limit=commands,
            patience_s=wait,
            clock=time.monotonic,
            pause=stop.wait,
            say=self.stderr.write,
        )
        try:
            sent = session.run()
        except EngineRefused as error:
            raise CommandError(str(error), returncode=1) from error
        except EngineUnreachable as error:
            raise CommandError(engine_addresses.unreachable_text(error, address, newest_epoch), returncode=2) from error
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        return f"sent {sent} commands"

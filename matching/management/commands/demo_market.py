import time
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from matching.client import leaders
from matching.client.client import Client
from matching.commandline import engine_addresses
from matching.commandline.interruption import stop_on_signals
from matching.core.errors import EngineRefused, EngineUnreachable, MatchingError
from matching.workloads.demo_session import Session

_TIMEOUT_S = 3.0


class Command(BaseCommand):
    help = "Let seeded makers and takers trade on a running engine until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=float, default=40.0, metavar="PER_SECOND", help="commands; default: 40")
        parser.add_argument("--seed", type=int, default=1, help="another seed, another market; default: 1")
        parser.add_argument("--commands", type=int, metavar="N", help="stop after so many; default: never")
        parser.add_argument("--wait", type=float, default=180.0, metavar="SECONDS", help="for an engine that is silent")
        parser.add_argument("--address", default=engine_addresses.addresses(), help="command addresses, commas between")

    def handle(self, *, rate: float, seed: int, commands: int | None, wait: float, address: str, **options: Any) -> str:
        if not 0 < rate <= 1e6 or seed < 0 or (commands is not None and commands < 1) or wait < 0:
            raise CommandError(
                "--rate is more than 0, at most 1000000; --seed, --commands, --wait are no less than 0, 1, 0.",
                returncode=2,
            )
        stop = stop_on_signals()
        known = leaders.known(address)  # what one connection learns the next one knows
        session = Session(
            connect=lambda: Client(known, timeout_s=_TIMEOUT_S),
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
            raise CommandError(engine_addresses.unreachable(error, address), returncode=2) from error
        except MatchingError as error:
            raise CommandError(str(error), returncode=2) from error
        return f"sent {sent} commands"

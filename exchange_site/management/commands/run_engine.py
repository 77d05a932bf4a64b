from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser
from prometheus_client import REGISTRY

from exchange_site import engine_wiring, worker_http
from exchange_site.addresses import AddressError
from matching import errors, process
from matching.follower import HistoryGone
from matching.metrics import EngineMetrics
from matching.sockets import AddressUnusable
from settlement.errors import CannotRun
from settlement.stores.base import StoreError

_PATIENCE_S = 10.0
_COULD_NOT_RUN = (
    engine_wiring.NotAvailable,
    AddressUnusable,
    AddressError,
    CannotRun,
    StoreError,
    errors.EngineUnreachable,
)
_NOT_IN_ORDER = (errors.Diverged, errors.BadBlock, errors.LogUnusable, HistoryGone)


class Command(BaseCommand):
    help = "Run the matching engine, as leader, or with --follow as a follower of another engine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", metavar="ADDRESS", help="any address of the engine to follow, from block 1 on")
        parser.add_argument("--input-log", choices=("memory", "wal", "kafka"), help="default: as the settings say")
        parser.add_argument("--snapshot-every", type=int, metavar="BLOCKS", help="not available in this version")

    def handle(self, *, follow: str | None, input_log: str | None, snapshot_every: int | None, **options: Any) -> None:
        stop = engine_wiring.stop_on_signals()
        try:
            engine_wiring.refuse_snapshots(snapshot_every)
            log = engine_wiring.open_input_log(input_log, follows=follow is not None)
            with ExitStack() as opened:

                def ready(parts: process.Parts) -> None:
                    probes = engine_wiring.probes(parts)
                    opened.enter_context(worker_http.serve(settings.ENGINE_HTTP_ADDRESS, probes))
                    REGISTRY.register(EngineMetrics(parts.board))
                    self.announce(parts)

                if follow:
                    process.follow_leader(engine_wiring.plan(), follow, _PATIENCE_S, ready, stop.is_set)
                else:
                    process.lead(engine_wiring.plan(), log, engine_wiring.settled_blocks, ready, stop.is_set)
        except _COULD_NOT_RUN as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:  # a busy HTTP port
            raise CommandError(str(error.strerror or error), returncode=2) from error
        except _NOT_IN_ORDER as error:
            raise CommandError(str(error), returncode=1) from error

    def announce(self, parts: process.Parts) -> None:
        where = parts.board.addresses
        self.stdout.write(
            f"{parts.board.role} at block {parts.engine.block_number}: commands {where.commands}, "
            f"blocks {where.blocks}, retransmission {where.retransmission}, http {settings.ENGINE_HTTP_ADDRESS}"
        )
        self.stdout.flush()

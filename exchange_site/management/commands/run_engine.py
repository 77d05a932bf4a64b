import gc
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management import CommandError, CommandParser
from prometheus_client import REGISTRY

from exchange_site.checkpoints.running import signing
from exchange_site.checkpoints.signer import OwnBlocks
from exchange_site.configuration.addresses import AddressError
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.engine_host import wiring
from exchange_site.operations import first_start, worker_http
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stop_on_signals
from matching.commandline.number_options import whole_number
from matching.commandline.own_keys import engine_key
from matching.core import errors
from matching.core.epochs import Superseded
from matching.node import process
from matching.node.follower import CannotFollow
from matching.node.metrics import EngineMetrics
from matching.node.recovery import CannotLead
from matching.node.services import Services
from matching.storage.history import HistoryUnavailable
from matching.transport.sockets import AddressUnusable
from settlement.errors import CannotRun
from settlement.stores.base import StoreError

_PATIENCE_S = 10.0
_COULD_NOT_RUN = (
    wiring.NotAvailable,
    AddressUnusable,
    AddressError,
    CannotRun,
    StoreError,
    HistoryUnavailable,
    errors.EngineUnreachable,
    errors.KeysUnusable,
    errors.LogNotReady,
    errors.KeysUnusable,
)
_NOT_IN_ORDER = (errors.Diverged, errors.BadBlock, errors.LogUnusable, CannotFollow, CannotLead, Superseded)


class Command(ProjectCommand):
    help = (
        "Run a matching engine: as leader, with --follow as a follower of another engine, or as a replica that reads a "
        "Kafka topic."
    )
    requires_system_checks = (SETTINGS,)  # for the warning about an open ENGINE_HTTP_ADDRESS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", metavar="ADDRESS", help="any address of the engine to follow")
        parser.add_argument("--input-log", choices=("memory", "wal", "kafka"), help="default: INPUT_LOG")
        parser.add_argument(
            "--snapshot-every",
            type=whole_number(0),
            metavar="BLOCKS",
            help="blocks between snapshots, 0: none; default: ENGINE_SNAPSHOT_BLOCKS",
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="become leader although another engine led last; only if that engine never comes back",
        )

    def handle(
        self, *, follow: str | None, input_log: str | None, snapshot_every: int | None, take_over: bool, **options: Any
    ) -> None:
        stop = stop_on_signals()
        first_start.warn_if_plain()
        wiring.raise_file_limit()
        try:
            with ExitStack() as opened:
                opened.enter_context(closing(wiring.lock_data_folder()))
                history, watch = wiring.history(), wiring.store_watch()
                watch.exchange_keys()
                services = wiring.services(
                    input_log=input_log,
                    snapshot_every=snapshot_every,
                    take_over=take_over,
                    follows=follow is not None,
                    history=history,
                    watch=watch,
                )

                def watched(parts: process.Parts) -> None:
                    probes = wiring.probes(parts)
                    opened.enter_context(worker_http.serve(settings.ENGINE_HTTP_ADDRESS, probes))
                    opened.enter_context(watch.running(lambda: parts.ring.last))
                    blocks = OwnBlocks(parts.ring.get, lambda: parts.ring.last)
                    opened.enter_context(signing(engine_key(follows=follow is not None), blocks))
                    REGISTRY.register(EngineMetrics(parts.board, services.connections))

                stages = Stages(watched, self.announce)
                run(wiring.input_log_name(input_log), follow, services, stages, stop.is_set)
        except _COULD_NOT_RUN as error:
            raise CommandError(str(error), returncode=2) from error
        except OSError as error:  # a busy HTTP port, or a folder that cannot be read
            reason = str(error.strerror or error)
            raise CommandError(f"{error.filename}: {reason}." if error.filename else reason, returncode=2) from error
        except _NOT_IN_ORDER as error:
            raise CommandError(str(error), returncode=1) from error

    def announce(self, parts: process.Parts) -> None:
        # Objects that exist now live until the end: excluded from garbage collection, they cannot delay an answer.
        gc.collect()
        gc.freeze()
        where = parts.board.addresses
        self.stdout.write(
            f"{parts.board.role} at block {parts.engine.block_number}{_origin(parts)}: commands {where.commands}, "
            f"blocks {where.blocks}, retransmission {where.retransmission}, http {settings.ENGINE_HTTP_ADDRESS}"
        )
        self.stdout.flush()


class Stages(NamedTuple):
    """Callbacks during the start of an engine."""

    watched: process.Ready  # health and metrics are served, and the store is watched
    ready: process.Ready  # commands are accepted, or queries answered

    def both(self, parts: process.Parts) -> None:
        self.watched(parts)
        self.ready(parts)


def run(input_log: str, follow: str | None, services: Services, stages: Stages, stop: Callable[[], bool]) -> None:
    """Runs until `stop()` returns True. Raises the exceptions of `matching.node.process`."""
    plan = wiring.plan()
    if input_log != "kafka":
        if follow:
            process.follow_leader(plan, services, follow, timeout_s=_PATIENCE_S, ready=stages.both, stop=stop)
        else:
            process.lead(plan, services, stages.both, stop)
        return
    if follow:
        raise wiring.NotAvailable("A replica that reads Kafka cannot follow an engine: remove --follow.")
    wiring.warn_if_unlisted()
    with closing(wiring.command_log()) as command_log:
        process.replicate(
            plan,
            services,
            command_log,
            instance=wiring.instance(),
            joined=stages.watched,
            ready=stages.ready,
            stop=stop,
        )


def _origin(parts: process.Parts) -> str:
    """The epoch of the leader and the sources of its state; "" for a follower."""
    done = parts.recovered
    if done is None:
        return ""
    sources = [
        text
        for count, text in (
            (done.snapshot_block, f"snapshot of block {done.snapshot_block}"),
            (done.from_history, f"{done.from_history} blocks from the store"),
            (done.from_log, f"{done.from_log} from the log"),
        )
        if count
    ]
    return f", epoch {parts.engine.epoch}" + (f" ({', '.join(sources)})" if sources else "")

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser
from django.db import connections

from exchange_site.checkpoints.recent_blocks import RecentBlocks
from exchange_site.checkpoints.running import signing
from exchange_site.checkpoints.signer import OwnBlocks
from exchange_site.configuration.addresses import AddressError
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.engine_host.forked import ForkedWriter
from exchange_site.operations import first_start, health, register_exchange, worker_http
from exchange_site.operations.polling import polling
from matching.commandline.interruption import exit_code, stop_on_signals
from matching.commandline.number_options import whole_number
from matching.commandline.own_keys import SETTLEMENT_KEY
from matching.storage.snapshot_files import Snapshotter
from settlement import lock, metrics, wiring, worker, worker_status
from settlement.alarms import records, worker_alarms
from settlement.clock import SystemClock
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand, refuse_dead_letters
from settlement.options import Options
from settlement.project import compiling
from settlement.project.rebuild_requests import RebuildRequests
from settlement.stores.base import Store, StoredBlock, StoreError, StoreUnavailable, StoreUninitialized


class Command(ExchangeCommand):
    is_service = True
    help = "Receive the engine's blocks, make them durable and project them into the store."
    logs_slow_statements = True
    requires_system_checks = (SETTINGS,)  # for the warning about an open SETTLEMENT_HTTP_ADDRESS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", choices=("sql", "scylla"), help="default: SETTLEMENT_STORE")
        parser.add_argument("--until-block", type=whole_number(1), metavar="N", help="stop once block N is settled")

    def handle(self, *, store: str | None, until_block: int | None, **options: Any) -> None:
        stop, tables, newest = stop_on_signals(), wiring.worker_store(store), worker_status.Newest()
        probes = {
            "store": health.timed(lambda: wiring.ping_and_close(tables) and newest.store_answers(), StoreError),
            "spill": health.timed(newest.spill_has_room),
            "engine": health.timed(newest.engine_responds),
        }
        wiring.collect_garbage_rarely()
        first_start.warn_if_plain()
        try:
            stores = tables, wiring.projection_store(tables, store)
            count = settle(*stores, wiring.store_lock(store), stop.is_set, wiring.options(until_block), newest, probes)
        except (AddressError, OSError) as error:  # a port in use, or a folder that cannot be read
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        self.stdout.write(f"settled {count} blocks")
        if until_block is not None:
            refuse_unfinished(tables, until_block, stop.number)


def refuse_unfinished(tables: Store, until_block: int, signal: int) -> None:
    """Raises CommandError if a signal stopped settlement before `until_block` was projected, or on dead letters."""
    projected = tables.projected().block_number
    if projected < until_block:
        raise CommandError(
            f"Stopped after block {projected}, before block {until_block}. Start it again to continue.",
            returncode=exit_code(signal),
        )
    refuse_dead_letters(tables)


def settle(
    tables: Store,
    projected_tables: Store,
    store_lock: AbstractContextManager[lock.StoreLock],
    stop: Callable[[], bool],
    choices: Options,
    newest: worker_status.Newest,
    probes: Mapping[str, health.Probe],
) -> int:
    recent, rebuilds = RecentBlocks(), RebuildRequests()
    with lock.exclusive(wiring.data_dir()):
        tables.connect()
        with (
            store_lock as held,
            metrics.of_worker(),
            worker_http.serve(settings.SETTLEMENT_HTTP_ADDRESS, probes),
            worker_alarms.running_alarms(SystemClock()) as alarms,
            register_exchange.running_unless_plain(),
            signing(SETTLEMENT_KEY, OwnBlocks(recent.get, lambda: None)),
        ):
            wiring.make_tables_if_missing(tables)
            compiling.compile_now()  # before it listens: blocks that wait for it would not become durable meanwhile

            def look() -> None:
                with records.logging_database_errors("rebuild"), suppress(StoreUnavailable, StoreUninitialized):
                    rebuilds.look(tables.projected().block_number)
                connections.close_all()

            def report(now: worker_status.WorkerStatus) -> None:
                held.check()
                newest(now)
                alarms.observe(now)

            def work() -> int:
                return _work(
                    tables,
                    projected_tables,
                    stop=lambda: stop() or rebuilds.is_waiting,
                    choices=choices,
                    report=report,
                    appended=recent.add,
                )

            with polling(look, "rebuild-requests"):
                count = work()
                while rebuilds.is_waiting and not stop():
                    with records.logging_database_errors("rebuild"):
                        rebuilds.carry_out(projected_tables, wiring.dead_letters(projected_tables))
                    count += work()
            return count


def _work(
    tables: Store,
    projected_tables: Store,
    *,
    stop: Callable[[], bool],
    choices: Options,
    report: worker_status.Report,
    appended: Callable[[Sequence[StoredBlock]], object],
) -> int:
    """Settles until `stop()`; returns the number of blocks."""
    trail, letters, spill = wiring.trail(), wiring.dead_letters(projected_tables), wiring.spill()
    listening, snapshots = wiring.listening(), wiring.snapshots()
    snapshotter = Snapshotter(snapshots, ForkedWriter(snapshots), settings.SETTLEMENT_SNAPSHOT_BLOCKS)
    try:
        return worker.run(
            worker.Services(
                feed=listening.feed,
                store=tables,
                trail=trail,
                letters=letters,
                spill=spill,
                snapshotter=snapshotter,
                clock=SystemClock(),
                stop=stop,
                options=choices,
                report=lambda now: report(listening.complete(now)),
                refuse=listening.refuse,
                appended=appended,
                projection_store=projected_tables,
            )
        )
    finally:
        listening.feed.close()
        spill.close()
        snapshotter.close()

from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from analytics import metrics, wiring
from analytics.starrocks import loading
from exchange_site.configuration.addresses import AddressError
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.operations import health, worker_http
from matching.commandline.interruption import stop_on_signals
from settlement import wiring as settlement_wiring
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand
from settlement.stores.base import StoreError


class Command(ExchangeCommand):
    is_service = True
    help = "Load the rows of projected blocks into StarRocks (STARROCKS_URL), each exactly once."
    requires_system_checks = (SETTINGS,)  # for the warning about an open ANALYTICS_HTTP_ADDRESS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", dest="is_once", help="stop when all blocks are loaded")

    def handle(self, *, is_once: bool, **options: Any) -> None:
        stop = stop_on_signals()
        transactions, store = wiring.transactions(metrics.RETRIES.inc), settlement_wiring.store()
        newest: list[loading.Status] = []

        def report(status: loading.Status) -> None:
            newest[:] = [status]
            metrics.report(status)

        services = loading.Services(
            store=store,
            transactions=transactions,
            progress=wiring.progress_file(),
            stop=stop.is_set,
            wait=stop.wait,
            report=report,
            on_rows=metrics.count_rows,
        )
        probes = {
            "store": health.timed(lambda: settlement_wiring.ping_and_close(store), StoreError),
            "starrocks": health.timed(lambda: bool(newest) and newest[0].is_up),
        }
        settlement_wiring.refuse_missing_database()
        try:
            with wiring.exclusive(), metrics.of_loader():
                if is_once:
                    count = loading.run(services, is_once=True)
                else:
                    with worker_http.serve(settings.ANALYTICS_HTTP_ADDRESS, probes):
                        count = loading.run(services)
        except (AddressError, OSError) as error:  # a port in use, or a folder that cannot be written
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        self.stdout.write(f"loaded {count} blocks")

from contextlib import ExitStack
from typing import Any

import uvloop
from django.conf import settings
from django.core.management import CommandError
from django.db import DatabaseError
from prometheus_client import REGISTRY

from exchange_site.configuration.addresses import AddressError, parse_host_port
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.gateway_host import wiring
from exchange_site.operations import first_start, worker_http
from gateway import process
from gateway.feed.reading import CannotBegin
from gateway.metrics import GatewayMetrics
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stop_on_signals
from matching.core.errors import MatchingError
from matching.core.kernel import compile_now
from settlement.errors import CannotRun
from settlement.stores.base import StoreError
from settlement.wiring import collect_garbage_rarely

_COULD_NOT_RUN = 2


class Command(ProjectCommand):
    help = "Run the traders' API: Binance Spot's REST API, streams and WebSocket API over the engine."
    requires_system_checks = (SETTINGS,)  # for the warning about an open GATEWAY_HTTP_ADDRESS

    def handle(self, **options: Any) -> None:
        stop = stop_on_signals()
        first_start.warn_if_plain()
        compile_now()
        try:
            keys = wiring.keys()
            services = wiring.services(keys)
            keys.start()
            with ExitStack() as opened:
                opened.callback(keys.stop)

                def ready(parts: process.Parts) -> None:
                    REGISTRY.register(GatewayMetrics(parts))
                    opened.enter_context(worker_http.serve(settings.GATEWAY_HTTP_ADDRESS, wiring.probes(parts)))
                    collect_garbage_rarely()
                    self.announce(parts)

                uvloop.run(process.run(services, ready, stop.is_set))
        except (MatchingError, CannotRun, StoreError, CannotBegin, AddressError) as error:
            raise CommandError(str(error), returncode=_COULD_NOT_RUN) from error
        except DatabaseError as error:
            raise CommandError(f"The database of DATABASE_URL cannot be used: {error}", returncode=2) from error
        except OSError as error:  # a port in use
            raise CommandError(str(error.strerror or error), returncode=_COULD_NOT_RUN) from error

    def announce(self, parts: process.Parts) -> None:
        scheme = "https" if settings.GATEWAY_CERTIFICATE_FILE else "http"
        where = parse_host_port(settings.GATEWAY_ADDRESS)
        self.stdout.write(
            f"gateway at block {parts.model.block_number}: {where.url.replace('http', scheme, 1)}/api/v3, "
            f"http {settings.GATEWAY_HTTP_ADDRESS}"
        )
        self.stdout.flush()

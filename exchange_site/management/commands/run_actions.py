from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.db import connections

from back_office.actions import worker
from back_office.actions.engine import RealEngine
from exchange_site.configuration.addresses import AddressError
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.operations import first_start, health, worker_http
from exchange_site.operations.polling import polling
from matching.commandline.interruption import stop_on_signals
from settlement import wiring
from settlement.alarms import heartbeats, records
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    is_service = True
    help = "Carry out the actions that operators have asked for, once they are approved."
    requires_system_checks = (SETTINGS,)  # for the warning about an open ACTIONS_HTTP_ADDRESS

    def handle(self, **options: Any) -> None:
        stop, progress = stop_on_signals(), worker.Progress()
        first_start.warn_if_plain()
        store = wiring.store()
        probes = {"database": health.timed(lambda: progress.finds_database)}

        def beat() -> None:
            with records.logging_database_errors("beat"):
                heartbeats.beat(heartbeats.ACTIONS, progress.turns)
            connections.close_all()

        try:
            with (
                worker_http.serve(settings.ACTIONS_HTTP_ADDRESS, probes),
                polling(beat, "heartbeat", heartbeats.BEAT_S),
            ):
                ended = worker.run(RealEngine(lambda: wiring.engines(lambda: store)), progress, stop.wait)
        except (AddressError, OSError) as error:  # a port in use
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        self.stdout.write(f"carried out {ended} requests")

"""Configuration of gunicorn: gunicorn --config exchange_site/gunicorn_conf.py exchange_site.asgi

One worker: its event loop holds the connections, views run in threads. Pages wait for the store rather than for a core,
and Prometheus counters need one process.
"""

import logging
import os
from contextlib import ExitStack

from django.conf import settings
from gunicorn import glogging
from gunicorn.config import Config

from exchange_site.web.connections import ConnectionLimits, LimitedConnection
from exchange_site.web.start import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()  # here, not in the worker: gunicorn would restart a worker that exits, again and again

from exchange_site.web import static_files  # noqa: E402 # the same for its storage

static_files.collect()

from back_office import readers  # noqa: E402 # its models need Django's apps
from back_office.alarm_notifications.running import sending  # noqa: E402
from back_office.watch import running  # noqa: E402


class Logger(glogging.Logger):
    """Passes gunicorn's messages to the site's logging, so that all lines have the same format."""

    def setup(self, cfg: Config) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


watching = ExitStack()


def post_worker_init(worker: object) -> None:
    """Passes on Uvicorn's messages too: its worker gave them gunicorn's handlers, and those were removed.

    Starts the watch over settlement and background work, and the sending of notifications.
    """
    logging.getLogger("uvicorn.error").propagate = True
    watching.enter_context(running(readers.watch()))
    watching.enter_context(sending())


def worker_exit(server: object, worker: object) -> None:
    watching.close()


LimitedConnection.limits = ConnectionLimits(
    connections=settings.WEB_CONNECTIONS,
    request_s=settings.WEB_REQUEST_SECONDS,
    response_s=settings.WEB_RESPONSE_SECONDS,
)
bind = settings.WEB_ADDRESS
workers = 1
worker_class = "exchange_site.web.connections.Worker"
timeout = 60
graceful_timeout = 10
keepalive = 5
control_socket_disable = True  # not needed: the supervisor starts and stops gunicorn
logger_class = Logger

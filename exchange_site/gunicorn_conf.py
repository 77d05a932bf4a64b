"""Configuration of gunicorn: gunicorn --config exchange_site/gunicorn_conf.py exchange_site.asgi

One worker: its event loop holds the connections, views run in threads. Pages wait for the store rather than for a core,
and Prometheus counters need one process.
"""

import logging
import os

from django.conf import settings
from gunicorn import glogging
from gunicorn.config import Config

from exchange_site.web.connections import ConnectionLimits, LimitedConnection
from exchange_site.web.start import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()  # here, not in the worker: gunicorn would restart a worker that exits, again and again


class Logger(glogging.Logger):
    """Passes gunicorn's messages to the site's logging, so that all lines have the same format."""

    def setup(self, cfg: Config) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def post_worker_init(worker: object) -> None:
    """Passes on Uvicorn's messages too: its worker gave them gunicorn's handlers, and those were removed."""
    logging.getLogger("uvicorn.error").propagate = True


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

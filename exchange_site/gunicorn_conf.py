"""Configuration of gunicorn: gunicorn --config exchange_site/gunicorn_conf.py exchange_site.wsgi

One worker with threads: pages wait for the store rather than for a core, and Prometheus counters need one process.
"""

import os

from django.conf import settings
from gunicorn import glogging
from gunicorn.config import Config

from exchange_site.web import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()  # here, not in the worker: gunicorn would restart a worker that exits, again and again


class Logger(glogging.Logger):
    """Passes gunicorn's messages to the site's logging, so that all lines have the same format."""

    def setup(self, cfg: Config) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = settings.WEB_ADDRESS
workers = 1
worker_class = "gthread"
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 10
control_socket_disable = True  # not needed: the supervisor starts and stops gunicorn
logger_class = Logger

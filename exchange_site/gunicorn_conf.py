"""How gunicorn runs the web: gunicorn --config exchange_site/gunicorn_conf.py exchange_site.wsgi

One worker with threads: pages wait for the store, not for a core, and Prometheus counters live in one process.
"""

import os

from django.conf import settings
from gunicorn import glogging
from gunicorn.config import Config

from exchange_site.web import set_up_web

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up_web()  # here, not in the worker: gunicorn starts a worker that exits again and again


class Logger(glogging.Logger):
    """Hands gunicorn's lines to the site's own logging, so that all lines have one form."""

    def setup(self, cfg: Config) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = settings.WEB_ADDRESS
workers = 1
worker_class = "gthread"
threads = settings.WEB_THREADS
timeout = 60
graceful_timeout = 10
control_socket_disable = True  # nobody steers it from outside; supervision stops and starts it
logger_class = Logger

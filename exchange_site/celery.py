"""Background worker. Its broker is Redis if REDIS_URL is set, else files in DATA_DIR/celery.

celery --app exchange_site.celery worker --beat
"""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging
from django.conf import settings

from exchange_site.startup import set_up

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up()


def make_broker_folders() -> None:
    """Creates the folders that the embedded broker expects. Beat keeps its schedule there with either broker."""
    folders = [settings.CELERY_FOLDER]
    if not settings.REDIS_URL:
        folders += [settings.CELERY_FOLDER / "queue", settings.CELERY_FOLDER / "control"]
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


# Celery warns about running as root because messages could contain pickles; ours cannot.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
make_broker_folders()


@setup_logging.connect
def keep_our_logging(**kwargs: object) -> None:
    """Connecting to this signal stops Celery from replacing the logging that Django has set up."""

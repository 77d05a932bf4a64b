"""Background work: on Redis where REDIS_URL names one, else on an embedded broker, files in DATA_DIR/celery.

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
    """The embedded broker expects its folders to be there; Redis needs none. Beat keeps its notes there either way."""
    folders = [settings.CELERY_FOLDER]
    if not settings.REDIS_URL:
        folders += [settings.CELERY_FOLDER / "queue", settings.CELERY_FOLDER / "control"]
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


# Six lines about running as root, which matters where messages may hold pickles; ours may not.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
make_broker_folders()


@setup_logging.connect
def keep_our_logging(**kwargs: object) -> None:
    """Celery leaves logging alone once someone listens here; Django has set it up."""

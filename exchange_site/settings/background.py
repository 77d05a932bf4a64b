"""Settings of background work."""

from exchange_site.configuration import background
from exchange_site.settings.archive import ARCHIVE, ARCHIVE_HOUR
from exchange_site.settings.programs import DATA_DIR
from exchange_site.settings.variables import env

REDIS_URL = env.text(
    "REDIS_URL",
    "",
    "Broker of background work: `redis://`, `rediss://` or `unix://`; not set: files in `DATA_DIR/celery`.",
    read_by="web, worker, beat",
)
CELERY_FOLDER = DATA_DIR / "celery"
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1) or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS = background.redis_options() if REDIS_URL else background.folder_options(CELERY_FOLDER)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker without a limit
# A task is acknowledged when it starts, not when it ends (acks_late): the schedule repeats a task of a dead worker
# anyway, and a task that kills its worker is not delivered to the next one.
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_IGNORE_RESULT = True  # tasks store their results in tables that pages read
CELERY_ACCEPT_CONTENT = ("json",)  # never pickle, which can execute code from a message
CELERY_BEAT_SCHEDULE_FILENAME = str(CELERY_FOLDER / "beat-schedule")
CELERY_BEAT_SCHEDULER = "exchange_site.schedule:ReplanningScheduler"
CELERY_BEAT_SCHEDULE = background.schedule(ARCHIVE_HOUR if ARCHIVE else None)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

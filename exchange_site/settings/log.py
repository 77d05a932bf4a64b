"""Settings of logs."""

from exchange_site import logs
from exchange_site.settings.programs import DATA_DIR
from exchange_site.settings.variables import env

env.group("Logs", read_by="all")
LOG_FORMAT = env.text("LOG_FORMAT", "keyvalue", "Format of log lines: `keyvalue` or `json`.")
LOG_LEVEL = env.text("LOG_LEVEL", "INFO", "Lowest level that is logged: `DEBUG` to `CRITICAL`.").upper()
LOGGING = logs.settings(LOG_FORMAT, LOG_LEVEL if LOG_LEVEL in logs.LEVELS else "INFO")
PROGRAM_LOG_FOLDER = DATA_DIR / "logs"
PROGRAM_STATES_FILE = DATA_DIR / "programs.json"
LOG_FILE_BYTES = env.whole(
    "LOG_FILE_BYTES",
    10 * 1024**2,
    "Size at which `make run` rotates a file in `DATA_DIR/logs`.",
    unit="bytes",
    read_by="run_exchange",
)
LOG_FILES_KEPT = env.whole(
    "LOG_FILES_KEPT",
    3,
    "Number of rotated files that `make run` keeps for each program.",
    unit="files",
    read_by="run_exchange",
)

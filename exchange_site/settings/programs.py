"""Settings that several programs read: files, keys, checkpoints."""

from pathlib import Path

from exchange_site.settings.variables import env

BASE_DIR = Path(__file__).resolve().parents[2]

env.group("All programs", read_by="all")
DEFAULT_DATA_DIR = BASE_DIR / "data"
DATA_DIR = env.path(
    "DATA_DIR",
    DEFAULT_DATA_DIR,
    "Folder of all files: SQLite, WAL, snapshots, CSV trail, spill, keys, logs. Each engine needs "
    "its own; settlement may share it with one engine. Other accounts of the machine must not have access to it (mode "
    "0700).",
    shown="`data/` beside `manage.py`",
)
SECRET_KEY_FILE = DATA_DIR / "secret-key"
ADMIN_PASSWORD_FILE = DATA_DIR / "admin-password"
PLAIN_SOCKETS = env.flag(
    "PLAIN_SOCKETS",
    False,
    "For tests: sockets without keys, on loopback and `ipc://` addresses only. Every account of this machine can then "
    "trade for others, withdraw and stop the exchange.",
)

CHECKPOINT_BLOCKS = env.whole(
    "CHECKPOINT_BLOCKS",
    50_000,
    "Number of blocks after which engine and settlement sign a checkpoint.",
    unit="blocks",
    read_by="engine, settlement",
)
CHECKPOINT_SECONDS = env.whole(
    "CHECKPOINT_SECONDS",
    300,
    "Time after which they sign one if there is a new block.",
    unit="s",
    read_by="engine, settlement",
)
CHECKPOINT_PLACES = env.words(
    "CHECKPOINT_PLACES",
    [str(DATA_DIR / "checkpoints")],
    "Where signed checkpoints are written besides the store, separated by commas: absolute folders, `https://` or "
    "`http://` URLs of webhooks, `s3://BUCKET/PREFIX?lock_days=N`, `syslog` or `syslog://HOST:PORT`. Name a place that "
    "the database's administrators cannot change.",
    read_by="engine, settlement",
    shown="`DATA_DIR/checkpoints`",
)

"""The site's settings for tests: a temporary DATA_DIR, and a fast hash for passwords."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Never the developer's data, whatever the environment says.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="exchange-tests-")
os.environ["SECRET_KEY"] = "only for tests, and long enough to be accepted"
os.environ["PLAIN_SOCKETS"] = "true"  # tests of keys set it to false
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)

from exchange_site.settings import *
from exchange_site.settings import DATA_DIR, DATABASES
from scripts.services import SERVERS

(Path(DATA_DIR) / "static").mkdir(mode=0o700)  # empty: tests read static files where they are
# A file, not memory: with memory SQLite has no write-ahead log and locks whole tables between threads.
DATABASES["default"]["TEST"] = {"NAME": str(Path(DATA_DIR) / "test.sqlite3")}
# Beside it the shared PostgreSQL where it runs: tests on it name "postgres" in `django_db(databases=[...])`.
if _postgres := SERVERS["postgres"].running():
    DATABASES["postgres"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": _postgres.host,
        "PORT": str(_postgres.port),
        # Test runs at the same time do not meet in one database.
        "TEST": {"NAME": f"test_exchange_{os.getpid()}"},
    }
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Pytest collects what is logged. A handler of ours would hold on to the standard error of one test and write to it
# after it is closed.
LOGGING_CONFIG = None

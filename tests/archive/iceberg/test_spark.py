"""Spark reads the archive by the lines of docs/archive.md, and finds what the store has in every column of every table.

pip installs Spark into an environment of its own, and Spark fetches its jars. With SPARK_PYTHON in the environment, the
path of a Python that has pyspark, that one is used instead.
"""

import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as site
from pytest_django import Settings

from archive.archiving import archive_days
from archive.iceberg.schema import BLOCKS, TABLES, block_values
from scripts.services.service import Running
from settlement.stores.base import Store
from tests.archive.conftest import OpenArchive
from tests.archive.test_archiving import rows_of_store
from tests.environments import environment_with

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

VERSION = "4.1.4"
SPARK_S = 900.0
SECTION = (site.BASE_DIR / "docs" / "archive.md").read_text().split("\n## Other engines read it\n")[1].split("\n## ")[0]
OPTIONS, BUCKET_OPTIONS, QUERY = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
PROFILE = """
import json, sys
from pyspark.sql import functions as f

def number(column):
    value = f.col(column.name)
    if column.dataType.typeName() in ("string", "binary"):
        value = f.crc32(value.cast("binary"))
    return value.cast("int" if column.dataType.typeName() == "boolean" else "long").cast("decimal(38,0)")

profile = {}
for name in sys.argv[1:]:
    table = spark.table(f"exchange.exchange.{name}")
    columns = [column for column in table.schema if column.name not in ("day", "shard")]
    values = table.agg(*(one for column in columns for one in (f.count(column.name), f.sum(number(column))))).first()
    found = [int(value or 0) for value in values]
    profile[name] = {column.name: pair for column, *pair in zip(columns, found[::2], found[1::2])}
    profile[name]["day"] = [table.count(), table.select("day").distinct().count()]
print(json.dumps(profile))
"""
"""Prints the number of values of each column and their sum; of `day` the number of rows and of days.

A text or bytes count as their CRC-32.
"""

Profile = dict[str, dict[str, list[int]]]


def number_of(value: Any) -> int:
    if isinstance(value, str | bytes):
        return zlib.crc32(value.encode() if isinstance(value, str) else value)
    return int(value or 0)


def profile_of(store: Store, last_block: int, days: int) -> Profile:
    """What PROFILE has to print."""
    profile: Profile = {}
    rows_of = rows_of_store(store, last_block)
    for table in TABLES:
        rows = rows_of[table.name]
        columns = zip(*(map(block_values, rows) if table is BLOCKS else rows), strict=True)
        profile[table.name] = {"day": [len(rows), days]}
        for column, values in zip(table.columns, columns, strict=True):
            count = sum(value is not None for value in values)
            profile[table.name][column.name] = [count, sum(map(number_of, values))]
    return profile


def spark_finds(python: str, program: str, folder: Path) -> Profile:
    (folder / "program.py").write_text(program + PROFILE)
    done = subprocess.run(
        [python, folder / "program.py", *(table.name for table in TABLES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SPARK_S,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "PYSPARK_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *shown, profile = done.stdout.splitlines()
    sys.stdout.write("\n".join(shown))
    found: Profile = json.loads(profile)
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that has pyspark."""
    if named := os.environ.get("SPARK_PYTHON"):
        return named
    return str(environment_with(f"pyspark=={VERSION}", tmp_path_factory.mktemp("spark") / "environment") / "python")


@pytest.mark.acceptance("Spark finds the store's rows in an archive that is a folder")
@pytest.mark.timeout(2 * SPARK_S)
def test_spark_finds_the_rows_of_the_store(
    settled: Store, open_archive: OpenArchive, data_dir: Path, python: str, tmp_path: Path
) -> None:
    last = archive_days(settled, open_archive()).last
    assert last is not None
    program = OPTIONS.replace("/srv", str(data_dir)) + QUERY
    assert spark_finds(python, program, tmp_path) == profile_of(settled, last.last.number, days=2)


@pytest.mark.acceptance("Spark finds the store's rows in an archive that is a bucket of MinIO")
@pytest.mark.services("minio")
@pytest.mark.timeout(2 * SPARK_S)
def test_spark_finds_the_rows_of_the_store_in_a_bucket(
    settled: Store,
    client: "S3Client",
    open_archive: OpenArchive,
    minio: Running,
    data_dir: Path,
    settings: Settings,
    python: str,
    tmp_path: Path,
) -> None:
    last = archive_days(settled, open_archive()).last
    assert last is not None
    of_bucket = BUCKET_OPTIONS.replace("s3://exchange-archive/2026", settings.ARCHIVE)
    program = OPTIONS.replace("/srv", str(data_dir)) + of_bucket.replace("127.0.0.1:9000", minio.address) + QUERY
    assert spark_finds(python, program, tmp_path) == profile_of(settled, last.last.number, days=2)

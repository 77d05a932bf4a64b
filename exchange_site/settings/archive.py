"""Settings of the archive."""

from exchange_site.settings.variables import env

env.group("Archive", read_by="archive commands, worker, beat")
ARCHIVE = env.text(
    "ARCHIVE",
    "",
    "Where complete days are archived every night: an absolute folder or `s3://BUCKET/PREFIX`. Not set: "
    "`DATA_DIR/archive`, and only by command. Region, credentials and endpoint of S3 are in the variables of the AWS "
    "client: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL_S3`.",
)
ARCHIVE_CATALOG = env.text(
    "ARCHIVE_CATALOG",
    "",
    "Catalog of the archive's Iceberg tables: `sqlite:///FILE`, `postgres://USER:PASSWORD@HOST:PORT/NAME`, or the URL "
    "of a REST catalog.",
    shown="SQLite, `catalog.sqlite3` in the archive's folder; in `DATA_DIR/archive` if `ARCHIVE` is a bucket",
)
ARCHIVE_CATALOG_OPTIONS = env.table(
    "ARCHIVE_CATALOG_OPTIONS",
    {},
    "Further options of pyiceberg's catalog, such as the credentials of a REST catalog, as a JSON object; values are "
    "never logged.",
)
ARCHIVE_HOUR = env.whole("ARCHIVE_HOUR", 1, "Hour (UTC) of the nightly run.", unit="h", read_by="beat")
RETENTION_DAYS = env.whole(
    "RETENTION_DAYS",
    0,
    "The nightly run also releases archived days that are more than this many days before the newest block. 0: the "
    "store keeps all days.",
    unit="days",
    read_by="worker",
)

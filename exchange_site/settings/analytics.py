"""Settings of analytics, and of StarRocks."""

from exchange_site.settings.variables import env

env.group("Analytics", read_by="query_analytics, web")
ANALYTICS_SECONDS = env.whole("ANALYTICS_SECONDS", 30, "Maximum time of a query; on a page at most 10 s.", unit="s")
ANALYTICS_MEMORY_MB = env.whole(
    "ANALYTICS_MEMORY_MB", 512, "Maximum memory of DuckDB for a query, without the rows of the store.", unit="MB"
)
ANALYTICS_RECENT_ROWS = env.whole(
    "ANALYTICS_RECENT_ROWS",
    2_000_000,
    "Maximum number of rows of a table that a query takes from the store, because they are not archived yet.",
    unit="rows",
)
STARROCKS_URL = env.text(
    "STARROCKS_URL",
    "",
    "Front end and database of StarRocks, which `run_analytics` loads: `http://USER:PASSWORD@HOST:PORT/DATABASE`.",
    read_by="run_analytics",
)
STARROCKS_HOSTS = env.words(
    "STARROCKS_HOSTS",
    [],
    "Hosts of StarRocks' back ends, as HOST or HOST:PORT, separated by commas. The front end redirects to them. Only "
    "they and the front end get the password.",
    read_by="run_analytics",
)
ANALYTICS_HTTP_ADDRESS = env.text(
    "ANALYTICS_HTTP_ADDRESS",
    "127.0.0.1:9705",
    "HOST:PORT of the health and metrics of `run_analytics`.",
    read_by="run_analytics",
)

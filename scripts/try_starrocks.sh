#!/bin/sh
# Tries run_analytics against a real StarRocks in Docker: schema, loading, a kill in the middle, counts, views.
#
# Needs docker, and a DATA_DIR whose store has blocks (`make run` for a minute). Starts a container and removes it.
# Has not been run by us: there was no StarRocks where this was written (docs/analytics.md).
set -eu

IMAGE="${STARROCKS_IMAGE:-starrocks/allin1-ubuntu:3.5.2}"
NAME="try-starrocks-$$"
HTTP_PORT="${STARROCKS_HTTP_PORT:-8030}"
BACK_END_PORT="${STARROCKS_BACK_END_PORT:-8040}"
PYTHON="${PYTHON:-.venv/bin/python}"

cd "$(dirname "$0")/.."
trap 'docker rm --force "$NAME" >/dev/null 2>&1 || true' EXIT

sql() {
    docker exec --interactive "$NAME" mysql --host 127.0.0.1 --port 9030 --user root --batch --skip-column-names "$@"
}

ours() {
    "$PYTHON" manage.py query_analytics "$1" --format csv | tail -n 1
}

docker run --detach --name "$NAME" --publish "127.0.0.1:$HTTP_PORT:8030" --publish "127.0.0.1:$BACK_END_PORT:8040" \
    "$IMAGE" >/dev/null
echo "waiting for StarRocks"
tries=0
until sql --execute "SHOW BACKENDS" 2>/dev/null | grep -q "true"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ]; then
        echo "StarRocks did not start within four minutes" >&2
        exit 1
    fi
    sleep 2
done

sql --execute "CREATE DATABASE exchange"
sql exchange <schema/analytics_schema.sql
echo "schema: $(sql exchange --execute 'SHOW TABLES' | wc -l) tables and views"

export STARROCKS_URL="http://root:@127.0.0.1:$HTTP_PORT/exchange"
# The all-in-one image redirects to its own address, which is that of the container.
STARROCKS_HOSTS="$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$NAME"),127.0.0.1"
export STARROCKS_HOSTS

timeout --signal KILL 3 "$PYTHON" manage.py run_analytics --once || echo "killed, as intended"
"$PYTHON" manage.py run_analytics --once
"$PYTHON" manage.py run_analytics --once

failed=0
for table in trades ledger_events orders assets instruments; do
    theirs="$(sql exchange --execute "SELECT count(*) FROM $table")"
    mine="$(ours "SELECT count(*) AS n FROM $table")"
    echo "$table: $theirs in StarRocks, $mine here"
    [ "$theirs" = "$mine" ] || failed=1
done
for view in $(sql exchange --execute "SELECT TABLE_NAME FROM information_schema.materialized_views"); do
    sql exchange --execute "REFRESH MATERIALIZED VIEW $view WITH SYNC MODE" >/dev/null
    echo "$view: $(sql exchange --execute "SELECT count(*) FROM $view") rows"
done
if [ "$failed" = 1 ]; then
    echo "StarRocks has other rows than the store" >&2
    exit 1
fi
echo "all rows are in StarRocks once"

#!/bin/sh
# Creates the keyspace and the tables of the store in ScyllaDB or Cassandra with cqlsh alone. Where this repository's
# Python packages are installed, `manage.py init_store` does the same. Safe to run again.
set -eu

HELP="usage: sh scripts/init_scylla.sh [--host HOST] [--port PORT] [--keyspace NAME] [--replication MAP] [--user NAME]

  --host         default: SCYLLA_HOST, else 127.0.0.1
  --port         default: SCYLLA_PORT, else 9042
  --keyspace     default: SCYLLA_KEYSPACE, else exchange_settlement
  --replication  of a new keyspace; default: SCYLLA_REPLICATION, else one copy, for one node.
                 {'class': 'NetworkTopologyStrategy', 'dc1': 3} is three copies in the data centre dc1. ScyllaDB 6.0
                 and newer uses tablets for such a keyspace, and many versions refuse conditional statements there:
                 create the keyspace yourself first, with AND tablets = {'enabled': false}.
  --user         default: SCYLLA_USERNAME, else no login; SCYLLA_PASSWORD has the password

Exit code 0: success; 1: the server refused the schema; 2: could not run. An error is one sentence."

refuse() {
    echo "init_scylla.sh: $1" >&2
    exit "${2:-2}"
}

schema=$(dirname "$0")/../schema/settlement_schema.cql
written_for=exchange_settlement # the keyspace that the file names
host=${SCYLLA_HOST:-127.0.0.1}
port=${SCYLLA_PORT:-9042}
keyspace=${SCYLLA_KEYSPACE:-$written_for}
replication=${SCYLLA_REPLICATION:-"{'class': 'SimpleStrategy', 'replication_factor': 1}"}
user=${SCYLLA_USERNAME:-}

while [ $# -gt 0 ]; do
    case $1 in
    --help)
        echo "$HELP"
        exit 0
        ;;
    --host | --port | --keyspace | --replication | --user) ;;
    *) refuse "there is no option $1; --help lists them." ;;
    esac
    [ $# -ge 2 ] || refuse "$1 needs a value."
    case $1 in
    --host) host=$2 ;;
    --port) port=$2 ;;
    --keyspace) keyspace=$2 ;;
    --replication) replication=$2 ;;
    --user) user=$2 ;;
    esac
    shift 2
done

case $port in
'' | *[!0-9]*) refuse "--port is a number, not '$port'." ;;
esac
case $keyspace in
'' | [!A-Za-z]* | *[!A-Za-z0-9_]*) refuse "'$keyspace' cannot be the name of a keyspace: a letter, then letters, digits and underscores." ;;
esac
case $replication in
*';'*) refuse "--replication is one map, without a semicolon." ;;
'{'*'}') replication=$(printf '%s' "$replication" | tr '"' "'") ;; # JSON, as the settings have it, is as good
*) refuse "--replication is a map such as {'class': 'SimpleStrategy', 'replication_factor': 1}." ;;
esac
[ -r "$schema" ] || refuse "$schema cannot be read: run the script in its place in the repository."
command -v cqlsh >/dev/null || refuse "cqlsh is not installed: it comes with ScyllaDB and Cassandra, and as the Python package cqlsh."
[ -z "$user" ] || [ -n "${SCYLLA_PASSWORD:-}" ] || refuse "the password of $user has to be in SCYLLA_PASSWORD."

umask 077
notes=$(mktemp -d)
trap 'rm -rf "$notes"' EXIT
: >"$notes/cqlshrc"
# In a file: an argument would be seen by everyone who may list processes.
[ -z "$user" ] || printf '[authentication]\nusername = %s\npassword = %s\n' "$user" "$SCYLLA_PASSWORD" >"$notes/cqlshrc"

ask() {
    HOME=$notes cqlsh --cqlshrc "$notes/cqlshrc" --request-timeout 60 "$host" "$port" "$@" 2>"$notes/errors"
}

first_error() {
    grep -m 1 -E 'Error|error|Exception|Unavailable|denied' "$notes/errors" || tail -n 1 "$notes/errors"
}

ask -e 'SELECT release_version FROM system.local' >"$notes/version" \
    || refuse "$host:$port does not answer, or refuses the login: $(first_error)"

{
    echo "CREATE KEYSPACE IF NOT EXISTS $keyspace WITH replication = $replication;"
    grep -v '^CREATE KEYSPACE ' "$schema" | sed "s/$written_for\./$keyspace./g"
} >"$notes/schema.cql"
ask -f "$notes/schema.cql" >"$notes/out" || refuse "the server refused the schema: $(first_error)" 1
echo "keyspace $keyspace at $host:$port has its tables"

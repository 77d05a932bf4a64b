#!/bin/sh
# Creates ScyllaDB's accounts: an administrator, and `exchange`, which may create a keyspace and owns it. Then drops
# `cassandra`, the account with a well-known password that every new server has. Safe to repeat. A password that has
# changed in the environment is changed in the server.
#
# Environment: SCYLLA_ADMIN_PASSWORD and SCYLLA_PASSWORD (letters and digits), SCYLLA_HOST, SCYLLA_PORT.
set -eu

host=${SCYLLA_HOST:-scylla}
port=${SCYLLA_PORT:-9042}
TRIES=30 # a new server creates its first account some seconds after it begins to answer

for password in "${SCYLLA_ADMIN_PASSWORD:?is not set}" "${SCYLLA_PASSWORD:?is not set}"; do
    case $password in
    *[!A-Za-z0-9]*)
        echo "SCYLLA_ADMIN_PASSWORD and SCYLLA_PASSWORD must be letters and digits only." >&2
        exit 2
        ;;
    esac
done

umask 077
HOME=$(mktemp -d) # cqlsh writes its history there
export HOME
trap 'rm -rf "$HOME"' EXIT

# Runs the statements on standard input as the given account. The password is passed in a file: everybody who can list
# processes would see an argument.
as() {
    printf '[authentication]\nusername = %s\npassword = %s\n' "$1" "$2" >"$HOME/cqlshrc"
    cqlsh --cqlshrc "$HOME/cqlshrc" "$host" "$port"
}

can_log_in() {
    echo 'LIST ROLES;' | as "$1" "$2" >/dev/null 2>"$HOME/errors"
}

tries=0
until can_log_in exchange_admin "$SCYLLA_ADMIN_PASSWORD" || can_log_in cassandra cassandra; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$TRIES" ]; then
        echo "No login to $host:$port works: neither exchange_admin with this SCYLLA_ADMIN_PASSWORD nor the account of a new server." >&2
        tail -n 1 "$HOME/errors" >&2
        exit 1
    fi
    sleep 2
done

if ! can_log_in exchange_admin "$SCYLLA_ADMIN_PASSWORD"; then
    as cassandra cassandra <<END
CREATE ROLE exchange_admin WITH SUPERUSER = true AND LOGIN = true AND PASSWORD = '$SCYLLA_ADMIN_PASSWORD';
END
fi
as exchange_admin "$SCYLLA_ADMIN_PASSWORD" <<END
DROP ROLE IF EXISTS cassandra;
CREATE ROLE IF NOT EXISTS exchange WITH LOGIN = true AND PASSWORD = '$SCYLLA_PASSWORD';
GRANT CREATE ON ALL KEYSPACES TO exchange;
END
# Only if the password differs. Servers refuse a second change within seconds, so this is repeated.
tries=0
until can_log_in exchange "$SCYLLA_PASSWORD"; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$TRIES" ]; then
        echo "The password of exchange on $host:$port could not be changed:" >&2
        tail -n 1 "$HOME/refusal" >&2
        exit 1
    fi
    [ "$tries" -eq 1 ] || sleep 2
    as exchange_admin "$SCYLLA_ADMIN_PASSWORD" 2>"$HOME/refusal" <<END || continue
ALTER ROLE exchange WITH PASSWORD = '$SCYLLA_PASSWORD';
END
done
echo "accounts exchange_admin and exchange exist, cassandra does not"

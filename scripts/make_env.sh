#!/bin/sh
# Writes .env for docker-compose.yml: a random secret for each variable that it requires, readable by you alone.
#
#   sh scripts/make_env.sh [FILE]     FILE: .env beside docker-compose.yml, unless named
#
# A file that is there is never overwritten: the servers' data was made with its passwords.
# Exit code 0, or 2 and one sentence that says what to do.
set -eu

file=${1:-$(dirname "$0")/../.env}
BYTES=24 # 192 bits each

refuse() {
    echo "make_env.sh: $1" >&2
    exit 2
}

secret() {
    od -An -v -tx1 -N "$BYTES" /dev/urandom | tr -d ' \n'
}

[ $# -le 1 ] || refuse "give one file or none."
[ ! -e "$file" ] && [ ! -L "$file" ] || refuse "$file is there already: keep it, or move it away to begin with new servers."
[ -r /dev/urandom ] || refuse "/dev/urandom cannot be read: write $file by hand, one NAME=secret a line."
umask 077
text=$(
    for name in SECRET_KEY POSTGRES_PASSWORD REDIS_PASSWORD SCYLLA_ADMIN_PASSWORD SCYLLA_PASSWORD GRAFANA_PASSWORD; do
        value=$(secret)
        [ "${#value}" -eq $((BYTES * 2)) ] || refuse "/dev/urandom gave too little."
        echo "$name=$value"
    done
)
set -C # refuse a file that somebody else has made meanwhile
(printf '%s\n' "$text" >"$file") 2>/dev/null || refuse "$file cannot be written: name another place, or make the folder."
echo "wrote $file; Grafana's password (account admin) is in it"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# with-postgres.sh PROGRAM [ARGUMENT...]: runs a test program with a PostgreSQL server of its own, which listens on a socket in a
# temporary folder; the program finds its URL in MILLRACE_TEST_PG_URL. Without an installed server the test is skipped, aloud.
set -u
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
  echo "1..0 # SKIP no PostgreSQL server is installed (apt install postgresql)"
  exit 0
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/millrace-test-XXXXXX") || exit 1
as=
if [ "$(id -u)" = 0 ]; then
  chown postgres "$dir" || exit 1
  as="setpriv --reuid=postgres --regid=postgres --clear-groups --"
fi
server=
# shellcheck disable=SC2317
finish() {
  [ -n "$server" ] && kill -INT "$server" 2>/dev/null && wait "$server"
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM
echo secret-of-the-test >"$dir/password"
cd_as() { (cd "$dir" && exec $as "$@"); }
if ! cd_as "$bin/initdb" -D "$dir/data" -U tester -A scram-sha-256 --pwfile="$dir/password" -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1; then
  sed 's/^/# /' "$dir/initdb.log"
  exit 1
fi
(cd "$dir" && exec $as "$bin/postgres" -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir" -c fsync=off) >"$dir/server.log" 2>&1 &
server=$!
for _ in $(seq 300); do
  "$bin/pg_isready" -q -h "$dir" && break
  sleep 0.1
done
MILLRACE_TEST_PG_URL="postgresql://tester:secret-of-the-test@/postgres?host=$dir" "$@"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# with-mariadb.sh PROGRAM [ARGUMENT...]: runs a test program with a MariaDB server of its own, which listens on a socket in a
# temporary folder; the program finds it in MILLRACE_TEST_MY_SOCKET. Without an installed server the test is skipped, aloud.
set -u
PATH=$PATH:/usr/sbin
if ! command -v mariadbd >/dev/null || ! command -v mariadb-install-db >/dev/null; then
  echo "1..0 # SKIP no MariaDB server is installed (apt install mariadb-server)"
  exit 0
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/millrace-test-XXXXXX") || exit 1
as=
if [ "$(id -u)" = 0 ]; then
  chown mysql "$dir" || exit 1
  as="setpriv --reuid=mysql --regid=mysql --clear-groups --"
fi
server=
# shellcheck disable=SC2317
finish() {
  [ -n "$server" ] && kill -TERM "$server" 2>/dev/null && wait "$server"
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM
cat >"$dir/first.sql" <<SQL
CREATE OR REPLACE USER tester@localhost IDENTIFIED BY 'secret-of-the-test';
GRANT ALL ON *.* TO tester@localhost;
SQL
cat >"$dir/my.cnf" <<CNF
[mariadbd]
datadir = $dir/data
socket = $dir/sock
pid-file = $dir/pid
tmpdir = $dir
skip-networking
default-time-zone = -03:00
character-set-server = latin1
innodb_flush_log_at_trx_commit = 0
CNF
cd_as() { (cd "$dir" && exec $as "$@"); }
if ! cd_as mariadb-install-db --defaults-file="$dir/my.cnf" --auth-root-authentication-method=normal --skip-test-db >"$dir/install.log" 2>&1; then
  sed 's/^/# /' "$dir/install.log"
  exit 1
fi
(cd "$dir" && exec $as mariadbd --defaults-file="$dir/my.cnf" --init-file="$dir/first.sql") >"$dir/server.log" 2>&1 &
server=$!
for _ in $(seq 600); do
  [ -S "$dir/sock" ] && break
  sleep 0.1
done
MILLRACE_TEST_MY_SOCKET=$dir/sock "$@"

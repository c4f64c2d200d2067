#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo: embedded Kafka -> stamp -> enrich -> mask -> SQLite. usage: demo.sh BUILD_FOLDER
set -euo pipefail

build=$1
export DEMO=${DEMO:-$PWD/$build/demo}
TRADES=${TRADES:-100000}
PER_MESSAGE=50
COUNTRIES=(AT CH DE FR IT JP NO PL)

title() {
  printf '\n== %s\n' "$*"
}

make_users() {
  local i
  echo "user_id,email,country"
  for ((i = 1; i <= 1000; i++)); do
    echo "$i,user$i@example.org,${COUNTRIES[i % ${#COUNTRIES[@]}]}"
  done
}

start_kafka() {
  coproc KAFKA { exec "$build/tests/demo/mock-kafka" trade.history "$TRADES" "$PER_MESSAGE"; }
  read -r -t 60 KAFKA_BROKERS <&"${KAFKA[0]}" || {
    echo "demo: the embedded Kafka does not start" >&2
    exit 1
  }
  export KAFKA_BROKERS
}

query() {
  sqlite3 "$@" "$DEMO/trades.db"
}

rm -rf "$DEMO"
mkdir -p "$DEMO"
make_users >"$DEMO/users.csv"
MASK_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export MASK_KEY

title "an embedded Kafka with $TRADES trades, $PER_MESSAGE in a message, and three broken messages"
start_kafka
echo "broker: $KAFKA_BROKERS, topic: trade.history"

title "millrace run pipelines/demo.yaml --once"
begin=$(date +%s%N)
status=0
"$build/millrace" run pipelines/demo.yaml --once || status=$?
end=$(date +%s%N)
[ "$status" = 0 ] || [ "$status" = 4 ] || exit "$status"

rows=$(query <<<"SELECT count(*) FROM trades;")
ms=$(((end - begin) / 1000000))
title "what arrived in $DEMO/trades.db"
echo "$rows rows of $TRADES in $ms ms from start to exit: $((rows * 1000 / (ms + 1))) rows/s"
query -box <<<"SELECT coalesce(country, '(unknown buyer)') AS country, count(*) AS trades,
  printf('%.2f', sum(amount)) AS amount FROM trades GROUP BY 1 ORDER BY 1;"
query -box <<<"SELECT trade_id, price, quantity, amount, trade_date, settled_at, country,
  substr(email, 1, 16) || '…' AS email FROM trades ORDER BY trade_id LIMIT 10;"

title "dead letters: $DEMO/rejected.jsonl"
grep '"kind":"letter"' "$DEMO/rejected.jsonl" | cut -c1-400 || true
[ "$rows" = "$TRADES" ] || {
  echo "demo: $TRADES trades were produced, $rows arrived" >&2
  exit 1
}

title "next"
cat <<TEXT
  $build/millrace graph pipelines/demo.yaml           the pipeline as a picture
  $build/millrace inspect                             the plugins there are, and their options
  \$EDITOR pipelines/demo.yaml; ./dev demo             change it and run it again
TEXT

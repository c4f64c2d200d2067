# SPDX-License-Identifier: Apache-2.0
"""Pipeline files that several tests run, and readers of what they leave behind."""

import json

from servers import trades

ENDING = """settings:
  state: "${STATE}"
"""

LETTERS = """dead_letter:
  file: {path: rejected.jsonl}
  originals: keep
"""


def kafka_source(topic, columns, options=""):
    return f"""sources:
  - name: in
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {topic}
      start: earliest
      format: json
{options}      columns:
{columns}"""


def postgres_sink(table, mode="append", key=None, options=""):
    keyed = f"      key: [{key}]\n" if key else ""
    return f"""sinks:
  - name: out
    postgres:
      url: "${{PG_URL}}"
      table: public.{table}
      mode: {mode}
{keyed}{options}"""


def trades_pipeline(topic, mode="append", kind="int64", settings=""):
    """Kafka -> PostgreSQL table `trades`, nothing between."""
    key = "trade_id" if mode == "upsert" else None
    return ("name: trades\n" + kafka_source(topic, trades.columns_yaml(8, kind))
            + postgres_sink("trades", mode, key) + ENDING + settings)


def block(columns, indent=8):
    return "".join(f"{' ' * indent}{name}: {kind}\n" for name, kind in columns.items())


def dead_letters(millrace, name="rejected.jsonl"):
    """The letters of a run; marks left out."""
    path = millrace.folder / name
    lines = path.read_text().split("\n") if path.exists() else []  # texts hold what splitlines takes for ends
    return [entry for entry in map(json.loads, filter(None, lines)) if entry.get("kind") == "letter"]


def expected(count, first=0):
    return sorted(trades.row(i) for i in range(first, first + count))


def stored(database, table="trades"):
    return sorted(tuple(int(v) for v in row)
                  for row in database.sql(f"SELECT {', '.join(map(quoted, trades.FIELDS))} FROM {table}"))


def quoted(name):
    return f'"{name}"'

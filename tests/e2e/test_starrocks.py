# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink against the stand-in: rows, labels, faults."""

import json

import pytest

from pipelines import dead_letters
from servers.starrocks import StarRocks

DUPLICATE = """CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(18,4))
DUPLICATE KEY (id) DISTRIBUTED BY HASH (id)"""
PRIMARY = """CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(18,4))
PRIMARY KEY (id) DISTRIBUTED BY HASH (id)"""
COLUMNS = "{id: int64, name: utf8, price: 'decimal(18,4)'}"


@pytest.fixture
def server():
    with StarRocks() as made:
        made.create(DUPLICATE)
        yield made


def write_rows(millrace, count, first=0, name="in.jsonl"):
    with open(millrace.folder / name, "a") as out:
        for i in range(first, first + count):
            out.write(json.dumps({"id": i, "name": f"n{i}", "price": f"{i}.25"}) + "\n")


def pipeline(server, options="", columns=COLUMNS, mode="whole", settings="", source=""):
    return f"""name: to-starrocks
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      mode: {mode}
      columns: {columns}
{source}sinks:
  - name: out
    starrocks:
      url: {server.fe_url}
      sql_port: {server.mysql.port}
      user: root
      password: secret
      table: db.t
{options}dead_letter:
  file: {{path: rejected.jsonl}}
  originals: keep
settings:
  state: "${{STATE}}"
{settings}"""


def ids(server):
    return sorted(r["id"] for r in server.rows("db.t"))


def test_ten_thousand_rows_in_one_load(millrace, server):
    write_rows(millrace, 10000)
    millrace.run(pipeline(server, settings="  batch: {rows: 20000}\n")).expect(0)
    assert ids(server) == list(range(10000))
    assert str(server.rows("db.t")[7]["price"]) == "7.2500"
    fe, be = server.seen(step="load")
    assert (fe["server"], fe["status"], be["server"], be["status"]) == ("fe", 307, "be", 200)
    assert fe["label"] == be["label"]
    assert fe["headers"]["Authorization"] == be["headers"]["Authorization"]
    for name, value in {"Expect": "100-continue", "timezone": "UTC", "strict_mode": "true",
                        "max_filter_ratio": "0"}.items():
        assert be["headers"][name] == value, name
    assert list(server.states().values()) == ["VISIBLE"]


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("packed", ["none", "lz4", "zstd"])
def test_formats_and_compressions(millrace, server, form, packed):
    write_rows(millrace, 500)
    millrace.run(pipeline(server, f"      format: {form}\n      compression: {packed}\n")).expect(0)
    assert sorted((r["id"], r["name"], str(r["price"])) for r in server.rows("db.t")) == \
        [(i, f"n{i}", f"{i}.2500") for i in range(500)]

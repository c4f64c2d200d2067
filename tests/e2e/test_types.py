# SPDX-License-Identifier: Apache-2.0
"""One matrix: every type with its extremes into every target, and back again. What a target cannot hold is a dead letter."""

import datetime as dt
import io
import itertools
import json
import sqlite3

import fastavro
import pytest

import type_matrix as matrix
from pipelines import dead_letters
from servers.clickhouse import ClickHouse18
from servers.runner import TREE
from servers.starrocks import StarRocks

numbers = itertools.count(1)
D = matrix.D
COLUMNS = list(matrix.VALUES)
NESTED = list(matrix.NESTED)


def exact(text):
    return json.loads(text, parse_float=D, parse_int=lambda digits: D(digits) if digits == "-0" else int(digits))


def pipeline(sink, **options):
    return f"""name: types
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      columns:
{matrix.columns_yaml()}sinks:
  - name: out
    {sink}
dead_letter:
  file: {{path: rejected.jsonl}}
settings:
  state: "${{STATE}}"
"""


def run(millrace, sink):
    """All rows through one sink; {row's number: letter} of those that were refused."""
    cases = matrix.cases()
    (millrace.folder / "in.jsonl").write_text("".join(matrix.line(*case) + "\n" for case in cases))
    millrace.run(pipeline(sink)).expect(0, 4)
    letters = dead_letters(millrace)
    whole = [letter for letter in letters if not letter["row"]]
    assert not whole, [(x["code"], x["message"], (x["original"] or "")[-90:]) for x in whole]
    letters = {letter["row"]["n"]: letter for letter in letters}
    return cases, letters


def compare(target, cases, letters, got):
    """Every value is there as it was sent, or is one of those that the target is known to refuse."""
    wrong, surprises, seen = [], [], set()
    for number, column, value in cases:
        kind = matrix.VALUES[column][0]
        expected = matrix.is_refused(target, column, value)
        if number in letters:
            letter = letters[number]
            assert column == letter["column"] or column in letter["message"], letter
            if expected != letter["code"]:
                surprises.append((column, matrix.show(value), letter["code"], letter["message"]))
            seen.add(column)
        elif expected:
            surprises.append((column, matrix.show(value), "was taken", got.get(number, {}).get(column)))
        elif number not in got:
            wrong.append((column, matrix.show(value), "is missing"))
        else:
            wrong += difference(got[number], column, kind, matrix.kept(target, column, value))
    assert not wrong, "\n".join(map(str, wrong[:40]))
    assert not surprises, "\n".join(sorted(map(str, surprises)))
    assert len(got) + len(letters) == len(cases)


def difference(row, column, kind, value):
    there = row[column]
    try:
        same = matrix.plain(there, kind) == matrix.plain(value, kind)
    except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as e:
        return [(column, matrix.show(value), "cannot be read", matrix.show(there), repr(e))]
    if not same:
        return [(column, matrix.show(value), "became", matrix.show(there))]
    return [(column, matrix.show(value), f"filled {other}", row[other])
            for other in COLUMNS if other not in (column, *NESTED) and row[other] is not None]


def by_number(rows, names=("n", *COLUMNS)):
    return {row[0]: dict(zip(names, row)) for row in rows}


def parsed(rows, columns=NESTED):
    for row in rows.values():
        for column in columns:
            if isinstance(row[column], str):
                row[column] = exact(row[column])
    return rows


# ---- what was written is read by a client of each system

def test_postgres(database, millrace):
    cases, letters = run(millrace, f'postgres: {{url: "{database.url}", table: public.t, create: true}}')
    as_text = {"bin": "encode(bin, 'hex')"} | {c: f"to_jsonb({c})::text" for c in ["js", *NESTED]}
    as_text["lf"] = "array_to_json(lf::text[])::text"  # a jsonb has no -0
    database.sql(f"ALTER DATABASE {database.name} SET timezone = 'UTC'")
    rows = parsed(by_number(database.sql(
        "SELECT n, " + ", ".join(as_text.get(c, f"{c}::text") for c in COLUMNS) + " FROM t")), ["js", *NESTED])
    for row in rows.values():
        row["bin"] = row["bin"] if row["bin"] is None else bytes.fromhex(row["bin"])
        row["b"] = row["b"] and row["b"] == "true"
    compare("postgres", cases, letters, rows)
    compare("postgres", cases, letters, read_back(millrace, BACK["postgres"] % database.url, ["ll", "m", "st", "sl"]))


def test_sqlite(millrace):
    cases, letters = run(millrace, "sqlite: {path: rows.db, table: t, create: true}")
    rows = by_number(sqlite3.connect(millrace.folder / "rows.db").execute(f"SELECT n, {', '.join(COLUMNS)} FROM t"))
    compare("sqlite", cases, letters, parsed(rows, ["js", *NESTED]))
    compare("sqlite", cases, letters, read_back(millrace, BACK["sqlite"] % "rows.db"))


def test_mysql(schema, millrace):
    cases, letters = run(millrace, f'mysql: {{url: "{schema.url}", table: t, create: true}}')
    as_text = {c: f"CAST({c} AS CHAR)" for c in ("day", "clock", "ts", "tz")} | {"f32": "CAST(f32 AS DOUBLE)"}
    rows = by_number(schema.sql("SELECT n, " + ", ".join(as_text.get(c, c) for c in COLUMNS) + " FROM t"))
    compare("mysql", cases, letters, parsed(rows, ["js", *NESTED]))
    compare("mysql", cases, letters, read_back(millrace, BACK["mysql"] % schema.url))


AS_JSON = {"output_format_json_quote_64bit_integers": 1, "output_format_json_quote_denormals": 1,
           "output_format_json_quote_decimals": 1}


def clickhouse_rows(server, name):
    expressions = {"bin": "hex(bin) AS bin", "sl": "arrayMap(x -> (x.1, hex(x.2)), sl) AS sl"}
    lines = server.query("SELECT n, " + ", ".join(expressions.get(c, c) for c in COLUMNS)
                         + " FROM t FORMAT JSONEachRow", name, **AS_JSON).splitlines()
    rows = {}
    for row in map(exact, lines):
        rows[row["n"]] = row
        row["bin"] = row["bin"] if row["bin"] is None else bytes.fromhex(row["bin"])
        row["js"] = exact(row["js"]) if row["js"] is not None else None
        row["sl"] = [{"a": a, "b": bytes.fromhex(b)} for a, b in row["sl"]]
    return rows


def test_clickhouse(clickhouse, millrace):
    name = f"types{next(numbers)}"
    url = clickhouse.create_database(name)
    cases, letters = run(millrace, f'clickhouse: {{url: "{url}", table: t, create: true, order_by: [n]}}')
    compare("clickhouse", cases, letters, clickhouse_rows(clickhouse, name))
    clickhouse.drop_database(name)


def test_clickhouse_18(server_folder, millrace):
    """It shows the first day as 0000-00-00: days are read as numbers."""
    hexed = [c for c in COLUMNS if c not in NESTED]
    texts = {"day": "toUInt16(day)", "bin": "bin"}
    fields = ["n", *(f"hex(toString({texts.get(c, c)})) AS {c}_" for c in hexed), *NESTED]
    with ClickHouse18(server_folder / f"clickhouse18-{next(numbers)}") as server:
        cases, letters = run(millrace, f'clickhouse: {{url: "{server.url}", table: t, create: true, order_by: [n]}}')
        settings = {k: v for k, v in AS_JSON.items() if "decimals" not in k}
        lines = server.query(f"SELECT {', '.join(fields)} FROM t FORMAT JSONEachRow", **settings).splitlines()
        rows = {}
        for row in map(exact, lines):
            made = {c: row[f"{c}_"] if row[f"{c}_"] is None else bytes.fromhex(row[f"{c}_"]) for c in hexed}
            rows[row["n"]] = {c: v.decode() if isinstance(v, bytes) and c != "bin" else v for c, v in made.items()} | {
                c: row[c] for c in NESTED}
            text_rows(rows[row["n"]])
        compare("clickhouse 18", cases, letters, rows)


def text_rows(row):
    """Texts of 18.16 as values."""
    row["b"] = row["b"] and row["b"] == "1"
    row["day"] = row["day"] and str(dt.date(1970, 1, 1) + dt.timedelta(int(row["day"])))
    parsed({0: row}, ["js", "m", "st"])
    row["sl"] = [exact(v) for v in row["sl"]]
    row["ll"] = [v if isinstance(v, list) else exact(v) for v in row["ll"]]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_starrocks(millrace, form):
    with StarRocks() as server:
        server.databases.add("db")
        cases, letters = run(millrace, f"""starrocks:
      url: {server.fe_url}
      sql_port: {server.mysql.port}
      user: root
      password: secret
      table: db.t
      create: true
      key: [n]
      format: {form}""")
        rows = {row["n"]: row for row in server.rows("db.t")}
        for row in rows.values():
            row["bin"] = row["bin"] and bytes.fromhex(row["bin"].removeprefix("\\x"))
        compare("starrocks" if form == "json" else "starrocks csv", cases, letters, rows)


def as_documents(text, columns):
    """The pipeline with these columns declared as json."""
    for column in columns:
        kind = matrix.VALUES[column][0]
        assert f"{column}: '{kind}'" in text
        text = text.replace(f"{column}: '{kind}'", f"{column}: 'json'")
    return text


def lines_of(text):
    """Ended by LF alone: texts hold other line ends."""
    return [line + "\n" for line in text.split("\n")[:-1]]


def json_rows(lines):
    return {row["n"]: row for row in map(exact, lines)}


def csv_rows(lines):
    """What is between quotes is text, even when it is empty; \\N alone is null."""
    rows = list(records("".join(lines)))
    names = [text for text, _ in rows[0]]
    made = {}
    for row in rows[1:]:
        values = {name: None if text == "\\N" and not quoted else text for name, (text, quoted) in zip(names, row, strict=True)}
        made[int(values["n"])] = values
        values["b"] = {"true": True, "false": False, None: None}[values["b"]]
    return parsed(made, ["js", *NESTED])


def records(text):
    """RFC 4180, telling quoted fields from others."""
    row, at = [], 0
    while at < len(text):
        quoted = text[at] == '"'
        if quoted:
            end = at + 1
            while text[end] != '"' or text[end:end + 2] == '""':
                end += 2 if text[end] == '"' else 1
            field, at = text[at + 1:end].replace('""', '"'), end + 1
        else:
            end = min(i for i in (text.find(",", at), text.find("\n", at)) if i >= 0)
            field, at = text[at:end], end
        row.append((field, quoted))
        at += 1
        if text[at - 1] == "\n":
            yield row
            row = []


FORMS = {"json": ("format: jsonl", json_rows), "csv": ("format: csv\n      null_text: '\\N'", csv_rows)}


@pytest.mark.parametrize("form", FORMS)
def test_files_and_back(millrace, form):
    options, read = FORMS[form]
    cases, letters = run(millrace, f"file:\n      path: out\n      {options}")
    written = (millrace.folder / "out").read_bytes()
    compare(form, cases, letters, read(lines_of(written.decode())))
    again = pipeline(f"file:\n      path: again\n      {options}").replace("path: in.jsonl", "path: out")
    if form == "csv":  # a field is one value: JSON of nested ones
        again = as_documents(again, NESTED)
    millrace.run(again.replace("format: jsonl\n      columns", options + "\n      columns"), env={"STATE": "state-again"}).expect(0)
    assert (millrace.folder / "again").read_bytes() == written


@pytest.mark.parametrize("form", FORMS)
def test_kafka(kafka, topic, millrace, form):
    target = topic(1, max_message_bytes=8 << 20)
    options = FORMS[form][0].replace("jsonl", "json")
    cases, letters = run(millrace, f"""kafka:
      brokers: "{kafka.brokers}"
      topic: {target}
      {options}""")
    values = [m.value().decode() + "\n" for m in kafka.committed(target)]
    if form == "csv":  # a message has no header
        values.insert(0, ",".join(["n", *COLUMNS]) + "\n")
    compare(form, cases, letters, FORMS[form][1](values))


AVRO = "format: avro\n      record: Every\n      namespace: com.example"


def avro_values(millrace, messages, header=b""):
    """Messages by the schema that discover prints, read by a library that is not ours."""
    printed = millrace.command("discover", "--ddl", millrace.folder / "pipeline.yaml", "out").expect(0).out
    schema = fastavro.parse_schema(exact(next(line for line in printed.splitlines() if line.startswith("{"))))
    assert schema["name"] == "com.example.Every"
    rows = {}
    for message in messages:
        assert message.startswith(header)
        stream = io.BytesIO(message[len(header):])
        row = fastavro.schemaless_reader(stream, schema, None)
        assert not stream.read()
        row["js"] = row["js"] and exact(row["js"])
        rows[row["n"]] = row
    return rows


@pytest.mark.parametrize("header", [b"", b"\0\0\1\2\3"])
def test_kafka_avro(kafka, topic, millrace, header):
    target = topic(1, max_message_bytes=8 << 20)
    number = f"\n      schema_id: {int.from_bytes(header)}" if header else ""
    cases, letters = run(millrace, f"""kafka:
      brokers: "{kafka.brokers}"
      topic: {target}
      {AVRO}{number}""")
    messages = [m.value() for m in kafka.committed(target)]
    compare("avro", cases, letters, avro_values(millrace, messages, header))


# ---- and by its own source, with the types that it had

BACK = {"postgres": 'postgres: {url: "%s", table: public.t', "mysql": 'mysql: {url: "%s", table: t',
        "sqlite": "sqlite: {path: %s, table: t"}


def read_back(millrace, source, documents=NESTED):
    """What a source says of the table, as rows of JSON. documents: columns that it gives as json."""
    columns = "{" + ", ".join(f"{c}: '{kind}'" for c, kind in {"n": "int32", **{
        name: kind for name, (kind, _) in matrix.VALUES.items()}}.items()) + "}"
    text = as_documents(f"""name: back
sources:
  - name: in
    {source}, columns: {columns}}}
sinks:
  - name: out
    file: {{path: back.jsonl}}
settings:
  state: "${{STATE}}"
""", documents)
    millrace.run(text, env={"STATE": "state-back"}).expect(0)
    return json_rows(lines_of((millrace.folder / "back.jsonl").read_text()))


@pytest.mark.parametrize("sink", ["postgres", "mysql", "sqlite", "clickhouse", "starrocks"])
def test_the_page_of_each_sink_has_its_map(millrace, sink):
    plugin, = json.loads(millrace.command("inspect", f"sinks/{sink}", "--json").expect(0).out)
    page = (TREE / "docs" / "plugins" / f"{sink}.md").read_text()
    assert matrix.table(sink, plugin["types"]) in page

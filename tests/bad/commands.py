#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the commands that look at a pipeline print and exit with. Prints TAP. usage: commands.py MILLRACE MODULES SOURCE"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from bad import MILLRACE, Tap, plugins  # noqa: E402 (shares the command line)

PIPELINE = """name: p
lookups:
  - name: users
    rows: {columns: {user_id: int64, mail: utf8}}
sources:
  - name: web
    rows:
      columns: {id: int64, name: utf8}
      password: canary-in
  - name: shop
    rows: {columns: {id: int64, name: utf8}}
transforms:
  - name: both
    input: [web, shop]
    ask: {with: users, on: {id: user_id}, add: {mail: mail}}
  - name: more
    input: both
    parallel: 2
    calc: {set: {twice: id * 2}}
sinks:
  - name: warehouse
    input: more
    when: id > 0
    keep: {table: t, url: "postgresql://etl:canary-url@h/db", password: canary-out}
  - name: rest
    input: more
    when: otherwise
    keep: {table: r}
dead_letter:
  keep: {table: letters}
"""


class Place:
    """A folder with the test's plugins and one pipeline."""

    def __init__(self, temp):
        self.folder = plugins(pathlib.Path(temp))
        self.file = self.folder / "p.yaml"
        self.write(PIPELINE)

    def write(self, text):
        self.file.write_text(text)

    def run(self, *args, **variables):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        env |= {"MILLRACE_PLUGIN_PATH": str(self.folder), "LC_ALL": "C.UTF-8", **variables}
        return subprocess.run([MILLRACE, *map(str, args)], capture_output=True, text=True, env=env, timeout=60)


def said(run):
    return f"exit {run.returncode}\n--- stdout\n{run.stdout}--- stderr\n{run.stderr}"


def test_usage(tap, place):
    run = place.run("--version")
    tap.check(run.returncode == 0 and run.stdout.startswith("millrace "), "--version", said(run))
    run = place.run("help")
    tap.check(run.returncode == 0 and "  check " in run.stdout, "help", said(run))
    for args in ([], ["nonsense"], ["check"], ["check", "--nonsense", place.file], ["check", place.file, "more"], ["discover", place.file]):
        run = place.run(*args)
        tap.check(run.returncode == 2 and run.stderr and not run.stdout, f"usage: {' '.join(map(str, args[:2])) or 'nothing'}", said(run))
    run = place.run("check", "/nonexistent.yaml")
    tap.check(run.returncode == 2 and run.stderr == "millrace: /nonexistent.yaml: No such file or directory\n", "a file that is not there", said(run))
    run = place.run("check", place.folder)
    tap.check(run.returncode == 2 and "Is a directory" in run.stderr, "a folder is no file", said(run))


def test_check(tap, place):
    run = place.run("check", place.file)
    want = f"{place.file}: ok: 2 sources, 2 transforms, 2 sinks\nmore: twice: computed\nwarehouse: keep, at least once\nrest: keep, at least once\n"
    tap.check(run.returncode == 0 and run.stdout == want and not run.stderr, "check of a file that is right", said(run))
    run = place.run("check", place.file, "--set", "warehouse.mode=upsert")
    tap.check(run.returncode == 2 and run.stderr == f"{place.file}: --set warehouse.mode: upsert needs `key`\n", "an override that is wrong", said(run))
    run = place.run("check", place.file, MILLRACE_SET_WAREHOUSE__TABEL="x")
    tap.check("MILLRACE_SET_WAREHOUSE__TABEL: unknown option `tabel` (did you mean `table`?)" in run.stderr, "a variable that is wrong", said(run))


def test_print(tap, place):
    run = place.run("check", "--print", place.file, "--set", "warehouse.table=public.t2", MILLRACE_SET_WAREHOUSE__MODE="append", MILLRACE_SET_REST__PASSWORD="canary-env")
    lines = [" ".join(line.split()) for line in run.stdout.splitlines()]
    for want in ("warehouse.table = public.t2 # --set", "warehouse.mode = append # MILLRACE_SET_WAREHOUSE__MODE", "web.password = *** # file, line 9",
                 "warehouse.url = postgresql://etl:***@h/db # file, line 24", "settings.memory = 256MiB # default", "more.parallel = 2 # file, line 18",
                 "rest.password = *** # MILLRACE_SET_REST__PASSWORD", "warehouse.when = id > 0 # file, line 23"):
        tap.check(want in lines, f"--print: {want}", run.stdout)
    tap.check("canary" not in run.stdout + run.stderr, "--print shows no secret", said(run))


def with_health(place, warehouse, rest):
    place.write(PIPELINE.replace("{table: r}", f"{{table: r, health: {rest}}}").replace("{table: t,", f"{{table: t, health: {warehouse},"))


def test_connect(tap, place):
    run = place.run("check", "--connect", place.file)
    tap.check(run.returncode == 0 and "warehouse: ok: keeper 1.0, table t\nrest: ok: keeper 1.0, table r\n" in run.stdout, "--connect: all fine", said(run))
    with_health(place, "fine", "down")
    run = place.run("check", "--connect", place.file)
    tap.check(run.returncode == 3 and "rest: down: connection refused" in run.stdout and "warehouse: ok" in run.stdout, "--connect: one is down", said(run))
    with_health(place, "wrong", "fine")
    run = place.run("check", "--connect", place.file)
    tap.check(run.returncode == 2 and "warehouse: wrong: no such table" in run.stdout, "--connect: the file is wrong", said(run))
    with_health(place, "crash", "leak")
    run = place.run("check", "--connect", place.file, MILLRACE_SET_REST__PASSWORD="canary-rest")
    tap.check(run.returncode == 3 and "warehouse: down: the check of plugin `keep` crashed (signal 6)" in run.stdout, "--connect: a check that crashes harms no other", said(run))
    tap.check("rest: ok: connected with ***" in run.stdout and "canary" not in run.stdout, "--connect shows no secret", said(run))
    with_health(place, "hang", "hang")
    begun = time.monotonic()
    run = place.run("check", "--connect", place.file)
    took = time.monotonic() - begun
    tap.check(run.returncode == 3 and run.stdout.count("down: no answer within 5 s") == 2 and "dead_letter: ok" in run.stdout, "--connect: deadlines are kept", said(run))
    tap.check(took < 15, "--connect: and kept together, not one after the other", f"{took} s")
    place.write(PIPELINE.replace("calc: {set", "calc: {sett"))
    run = place.run("check", "--connect", place.file)
    tap.check(run.returncode == 2 and "unknown option `sett`" in run.stderr and "warehouse: ok" in run.stdout and "more: not asked: its settings have errors" in run.stdout, "--connect: each stage on its own settings alone", said(run))
    place.write(PIPELINE)


def test_graph(tap, place):
    run = place.run("graph", place.file)
    want = """lookup users (rows)
web (rows)
└─ both (below)
shop (rows)
└─ both (ask)
   └─ more (calc) x2
      ├─ warehouse (keep) when id > 0: at least once
      └─ rest (keep) when otherwise: at least once
dead letters (keep)
"""
    tap.check(run.returncode == 0 and run.stdout == want, "graph", said(run))
    run = place.run("graph", "--dot", place.file)
    tap.check(run.stdout.startswith('digraph "p" {') and '  more -> warehouse [label="id > 0"];' in run.stdout, "graph --dot", said(run))


def test_discover(tap, place):
    run = place.run("discover", place.file, "warehouse")
    tap.check(run.returncode == 0 and run.stdout == 'a\nb "c"\n', "discover: tables", said(run))
    run = place.run("discover", place.file, "warehouse", "a")
    rows = [line.split() for line in run.stdout.splitlines()]
    tap.check(rows == [["id", "bigint", "int64", "not", "null"], ["v", "text", "utf8", "null"]], "discover: columns", said(run))
    run = place.run("discover", "--json", place.file, "warehouse", "a")
    tap.check([json.loads(line)["column"] for line in run.stdout.splitlines()] == ["id", "v"], "discover --json", said(run))
    for args, want in ((["warehouse", "zz"], "millrace: warehouse: no such table\n"), (["nobody"], "millrace: the file has no stage `nobody`\n"),
                       (["web"], "millrace: plugin `rows` has nothing to discover\n")):
        run = place.run("discover", place.file, *args)
        tap.check(run.returncode == 2 and run.stderr == want, f"discover: {' '.join(args)}", said(run))


def test_inspect(tap, place):
    run = place.run("inspect")
    tap.check(run.returncode == 0 and "keep" in run.stdout and "transforms" in run.stdout, "inspect", said(run))
    run = place.run("inspect", "keep")
    for want in ("sink keep 1: for tests", "delivers at least once", "table: text, required", "mode: append | upsert, default append", "password: text, secret", "key: one or many: text"):
        tap.check(want in run.stdout, f"inspect: {want}", said(run))
    run = place.run("inspect", "--json", "keep")
    plugin = json.loads(run.stdout)[0]
    options = {o["name"]: o for o in plugin["options"]}
    tap.check(plugin["delivery"] == "at least once" and options["mode"]["choices"] == ["append", "upsert"] and options["table"]["required"], "inspect --json", said(run))
    run = place.run("inspect", "keeep")
    tap.check(run.returncode == 2 and "did you mean `keep`?" in run.stderr, "inspect: no such plugin", said(run))


def yaml_1_2(value):
    """PyYAML reads the key `on` as true; editors, which speak YAML 1.2, do not."""
    if isinstance(value, list):
        return [yaml_1_2(v) for v in value]
    return {"on" if k is True else k: yaml_1_2(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_schema(tap, place):
    run = place.run("schema")
    schema = json.loads(run.stdout)
    tap.check(run.returncode == 0 and schema["$schema"].endswith("2020-12/schema") and "sink.keep" in schema["$defs"], "schema", run.stderr)
    try:
        import jsonschema
        import yaml
    except ImportError as e:
        tap.skip("the schema judges files", str(e))
        return
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    document = yaml_1_2(yaml.safe_load(PIPELINE))
    tap.check(not list(judge.iter_errors(document)), "the schema accepts a file that is right", [e.message for e in judge.iter_errors(document)])
    for change in ({"sinks": []}, {"settings": {"memory": "256M"}}, {"settings": {"memory": -1}}, {"nmae": "x"}, {"name": "P"},
                   {"sinks": [{"name": "a", "keep": {"table": "t", "mode": "upsrt"}}]}, {"sinks": [{"name": "a"}]}, {"sinks": [{"name": "a", "keep": {}}]},
                   {"sinks": [{"name": "a", "commit": "1s", "keep": {"table": "t"}, "null": {}}]}, {"dead_letter": {"originals": "some", "keep": {"table": "t"}}}):
        tap.check(list(judge.iter_errors({**document, **change})), f"the schema refuses {change}")
    for change in ({"settings": {"memory": "${MEMORY}"}}, {"settings": {"memory": "1MiB", "batch": {"rows": 5}}}, {"sinks": [{"name": "a", "null": None}]},
                   {"sinks": [{"name": "a", "keep": {"table": 5, "key": "id"}}]}):
        tap.check(not list(judge.iter_errors({**document, **change})), f"the schema accepts {change}", [e.message for e in judge.iter_errors({**document, **change})])


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as temp:
        place = Place(temp)
        for test in (test_usage, test_check, test_print, test_connect, test_graph, test_discover, test_inspect, test_schema):
            test(tap, place)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Rules of the tree, and the tools that count tests."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]


def tool(name, *arguments):
    return subprocess.run([sys.executable, str(TREE / name), *map(str, arguments)],
                          capture_output=True, text=True)


def test_include_directions_of_this_tree():
    done = tool("tests/lint/include-directions.py", TREE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path, line, reason", [
    ("runtime/base/a.c", '#include "data/ring.h"', "base does not see data"),
    ("runtime/format/a.c", '#include "../expr/expr.h"', "format does not see expr"),
    ("runtime/engine/a.c", '#include "app/main.h"', "engine does not see app"),
    ("plugins/sinks/null/a.c", '#include "../../../runtime/data/ring.h"', "plugins see include/"),
    ("plugins/sinks/null/a.c", '#include "../file/file.h"', "does not include another plugin"),
    ("include/millrace/x.h", '#include "../../runtime/data/ring.h"', "public headers"),
    ("runtime/app/a.c", '#include "nowhere.h"', "is not in the tree"),
])
def test_wrong_include_is_found(tmp_path, path, line, reason):
    for header in ("runtime/data/ring.h", "runtime/expr/expr.h", "runtime/app/main.h",
                   "plugins/sinks/file/file.h", "include/millrace/plugin.h"):
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).write_text("")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(line + "\n")
    done = tool("tests/lint/include-directions.py", tmp_path)
    assert done.returncode == 1 and f"{path}:1: " in done.stdout and reason in done.stdout


LOG = [
    {"name": "a", "stdout": "1..3\nok 1 /x\nok 2 /y # SKIP no server\nnot ok 3 /z\n",
     "result": "FAIL", "returncode": 1},
    {"name": "crash", "stdout": "1..3\nok 1 /x\n", "result": "ERROR", "returncode": -11},
    {"name": "plain", "stdout": "fine", "result": "OK", "returncode": 0},
    {"name": "absent", "stdout": "needs a tool", "result": "SKIP", "returncode": 77},
    {"name": "bad end", "stdout": "1..1\nok 1 /x\n", "result": "ERROR", "returncode": -6},
]


def test_report_counts_single_tests_and_names_skips(tmp_path):
    log = tmp_path / "testlog.json"
    log.write_text("".join(json.dumps(e) + "\n" for e in LOG))
    done = tool("tests/report.py", f"meson:unit:{log}")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and lines[-1] == "4 passed, 3 failed, 2 skipped"
    assert "skipped: a /y: no server" in lines and "skipped: absent: needs a tool" in lines
    assert "FAILED: bad end: error, exit status -6" in lines


def test_report_without_result_fails(tmp_path):
    done = tool("tests/report.py", f"junit:e2e:{tmp_path}/none.xml")
    assert done.returncode == 1 and done.stdout.endswith("0 passed, 1 failed, 0 skipped\n")


def test_unknown_command_of_dev_is_named():
    done = subprocess.run([str(TREE / "dev"), "nonsense"], capture_output=True, text=True)
    assert done.returncode == 1 and "unknown command: nonsense" in done.stderr


def test_a_server_that_cannot_be_had_skips_its_tests_and_says_why(tmp_path):
    """No program and no cache of jars: the Kafka tests are skipped with the program's name; where CI
    is set they fail instead."""
    code = ("from servers.kafka import Kafka\n"
            f"def test_needs_kafka(): Kafka({str(tmp_path / 'kafka')!r})\n")
    (tmp_path / "test_absent.py").write_text(code)
    env = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith("PYTEST")}
    env |= {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(TREE / "tests")}

    def run(more):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", "--rootdir",
             str(tmp_path), str(tmp_path / "test_absent.py")],
            capture_output=True, text=True, cwd=tmp_path, env=env | more, timeout=120)
    done = run({})
    assert done.returncode == 0 and "1 skipped" in done.stdout, done.stdout
    assert "program not found: mvn" in done.stdout
    done = run({"CI": "true"})
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout

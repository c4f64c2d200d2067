#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad pipeline files and what `millrace check` says about them. Each files/NAME.yaml has a files/NAME.txt with the expected lines.
Prints TAP. usage: bad.py MILLRACE MODULES SOURCE [--record]"""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

MILLRACE, MODULES, SOURCE = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
RECORD = "--record" in sys.argv
FILES = SOURCE / "tests" / "bad" / "files"
KINDS = {"rows": "sources", "calc": "transforms", "ask": "transforms", "keep": "sinks", "count": "transforms", "forget": "sinks"}
SECONDS = 20  # for what must be refused at once; sanitizers and a busy machine are slow


class Tap:
    def __init__(self):
        self.number, self.failed = 0, 0

    def check(self, ok, name, why=""):
        self.number += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}")
        for line in [] if ok else str(why).splitlines():
            print(f"# {line}")

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}")

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def plugins(folder):
    for name, kind in KINDS.items():
        (folder / kind).mkdir(exist_ok=True)
        shutil.copy(MODULES / f"stage-{name}.so", folder / kind / f"{name}.so")
    return folder


def check(folder, file, cwd=FILES):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    env |= {"MILLRACE_PLUGIN_PATH": str(folder), "LC_ALL": "C.UTF-8"}
    return subprocess.run([MILLRACE, "check", str(file)], capture_output=True, text=True, env=env, cwd=cwd, timeout=SECONDS, errors="replace")


def test_files(tap, folder):
    for file in sorted(FILES.glob("*.yaml")):
        run = check(folder, file.name)
        expected = file.with_suffix(".txt")
        if RECORD:
            expected.write_text(run.stderr)
        want = expected.read_text()
        tap.check(run.returncode == 2 and run.stderr == want, file.name, f"exit {run.returncode}\n--- said\n{run.stderr}--- wanted\n{want}")


def test_twenty(tap, folder):
    lines = check(folder, "twenty.yaml").stderr.splitlines()
    marks = [n for n, line in enumerate((FILES / "twenty.yaml").read_text().splitlines(), 1) if "  # " in line and line.split("  # ")[1][0].isdigit()]
    at = sorted(int(line.split(":")[1]) for line in lines)
    tap.check(len(lines) == 20, "twenty mistakes are twenty lines", f"{len(lines)} lines")
    tap.check(at == marks, "each at the line that has it", f"said {at}\nmade {marks}")


def test_secrets(tap, folder):
    said = check(folder, "secrets.yaml").stderr
    tap.check("canary" not in said and "***" in said, "no message shows a secret", said)


def quick(tap, folder, name, text, want):
    with tempfile.TemporaryDirectory() as temp:
        file = pathlib.Path(temp) / "x.yaml"
        file.write_bytes(text)
        begun = time.monotonic()
        try:
            run = check(folder, "x.yaml", cwd=temp)
        except subprocess.TimeoutExpired:
            tap.check(False, name, f"more than {SECONDS} s")
            return
        print(f"# {name}: {time.monotonic() - begun:.2f} s")
        tap.check(run.returncode == 2 and want in run.stderr and len(run.stderr) < 1 << 20, name, f"exit {run.returncode}\n{run.stderr[:2000]}")


def bomb(levels):
    lines = ['a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


def test_attacks(tap, folder):
    quick(tap, folder, "an alias bomb", bomb(9), "aliases (*a0) are not allowed")
    quick(tap, folder, "deep lists", b"[" * 200000, "nested deeper than 16 levels")
    quick(tap, folder, "deep mappings", b"{a: " * 100000, "nested deeper than 16 levels")
    quick(tap, folder, "deep block mappings", b"".join(b" " * i + b"a:\n" for i in range(500)), "nested deeper than 16 levels")
    quick(tap, folder, "a file over 1 MiB", b"#" * (1 << 20) + b"\n", "more than 1048576")
    quick(tap, folder, "an endless file", b"a: 1\n" * (1 << 20), "more than 1048576")
    quick(tap, folder, "too many values", b"a: [" + b"1," * 200000 + b"]", "more than 100000 values")
    quick(tap, folder, "many keys", b"".join(b"k%d: 1\n" % i for i in range(50000)), "unknown section `k0`")
    quick(tap, folder, "many equal keys", b"k: 1\n" * 50000, "`k` is here twice")
    quick(tap, folder, "a long key", b"k" * (1 << 19) + b": 1\n", "x.yaml:1:")
    quick(tap, folder, "a long line", b"name: " + b"x" * (1 << 19) + b"\n", "a pipeline's name is")
    quick(tap, folder, "NUL bytes", b"name: a\0b\n", "control characters are not allowed")
    quick(tap, folder, "UTF-16", "name: p\n".encode("utf-16"), "the file must be UTF-8 text")
    quick(tap, folder, "a stage nested in itself", b"sources: [{name: a, rows: {rows: {rows: {rows: {}}}}}]\nsinks: []\nname: p\n", "unknown option `rows`")


def corpus():
    given = os.environ.get("MILLRACE_TEST_DATA")
    folder = pathlib.Path(given) if given else SOURCE.parent / "shared" / "data"
    return folder / "yaml-test-suite.tar.gz"


def test_corpus(tap, folder):
    """No file of the YAML test suite is a pipeline, and none of them takes `check` down."""
    archive = corpus()
    if not archive.is_file():
        tap.skip("the YAML test suite", "yaml-test-suite.tar.gz is not there (MILLRACE_TEST_DATA)")
        return
    bad, seen = [], 0
    with tempfile.TemporaryDirectory() as temp, tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile() or not member.name.endswith("in.yaml"):
                continue
            seen += 1
            (pathlib.Path(temp) / "x.yaml").write_bytes(tar.extractfile(member).read())
            run = check(folder, "x.yaml", cwd=temp)
            if run.returncode != 2 or not run.stderr.startswith("x.yaml:"):
                bad.append(f"{member.name}: exit {run.returncode} {run.stderr[:200]}")
    tap.check(seen > 300 and not bad, f"{seen} files of the YAML test suite", "\n".join(bad[:10]) or f"{seen} files")


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as temp:
        folder = plugins(pathlib.Path(temp))
        for test in (test_files, test_twenty, test_secrets, test_attacks, test_corpus):
            test(tap, folder)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())

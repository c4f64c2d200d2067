#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`millrace plugin new` as a stranger uses it: all three kinds are written, built against an installed Millrace, and run in one
pipeline. Prints TAP. usage: skeleton.py MILLRACE BUILD"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

MILLRACE, BUILD = (pathlib.Path(a).resolve() for a in sys.argv[1:3])
KINDS = {"source": "counted", "transform": "int", "sink": "kept"}  # a name may be a word of C

PIPELINE = """name: strangers
sources:
  - name: in
    counted: {rows: 12}
transforms:
  - name: texts
    select: {set: {text: "'row ' || CAST(n AS utf8)"}}
  - name: capitals
    int: {column: text}
sinks:
  - name: out
    kept: {path: out.jsonl}
settings: {state: state}
"""


class Tap:
    def __init__(self):
        self.number, self.failed = 0, 0

    def check(self, ok, name, why=""):
        self.number += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}", flush=True)
        for line in [] if ok else str(why).splitlines():
            print(f"# {line}")
        return ok

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def run(*command, cwd, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
    return subprocess.run([str(c) for c in command], cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=300)


def words(done):
    return f"exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def install(tap, folder):
    """Where pkg-config finds the installed headers, as environment variables."""
    done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", folder, cwd=folder)
    found = list(folder.rglob("millrace-1.pc"))
    tap.check(done.returncode == 0 and len(found) == 1, "Millrace is installed with its pkg-config file", words(done))
    return {"PKG_CONFIG_PATH": str(found[0].parent), "PKG_CONFIG_SYSROOT_DIR": str(folder)}


def build(tap, folder, kind, name, env):
    done = run(MILLRACE, "plugin", "new", kind, name, cwd=folder)
    tap.check(done.returncode == 0 and f"{name}/{kind}s/{name}.c" in done.stdout, f"a {kind} is written", words(done))
    done = run("meson", "setup", "-Dwerror=true", "build", cwd=folder / name, **env)
    done = done if done.returncode else run("ninja", "-C", "build", cwd=folder / name)
    tap.check(done.returncode == 0, f"the {kind} builds outside the tree, without a warning", words(done))


def example(tap, folder, kind, name):
    path = folder / name
    done = run(MILLRACE, "run", "--once", "--set", "settings.state=state", "example.yaml", cwd=path, MILLRACE_PLUGIN_PATH=str(path / "build"))
    rows = (path / "out.jsonl").read_text().splitlines() if (path / "out.jsonl").exists() else []
    tap.check(done.returncode == 0 and len(rows) == 5, f"the example of the {kind} gives five rows", words(done))


def together(tap, folder):
    path = ":".join(str(folder / name / "build") for name in KINDS.values())
    (folder / "all.yaml").write_text(PIPELINE)
    for kind, name in KINDS.items():
        done = run(MILLRACE, "inspect", f"{kind}s/{name}", cwd=folder, MILLRACE_PLUGIN_PATH=path)
        tap.check(done.returncode == 0 and name in done.stdout, f"inspect knows the {kind}", words(done))
    done = run(MILLRACE, "run", "--once", "all.yaml", cwd=folder, MILLRACE_PLUGIN_PATH=path)
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()] if done.returncode == 0 else []
    tap.check(rows == [{"n": n, "text": f"ROW {n}"} for n in range(12)], "a pipeline of all three gives its rows", words(done))
    done = run(MILLRACE, "run", "--once", "--set", "in.rows=15", "all.yaml", cwd=folder, MILLRACE_PLUGIN_PATH=path)
    lines = (folder / "out.jsonl").read_text().splitlines() if done.returncode == 0 else []
    tap.check(done.returncode == 0 and len(lines) == 15, "the second run goes on where the first one ended", words(done))
    done = run(MILLRACE, "check", "--set", "capitals.column=n", "all.yaml", cwd=folder, MILLRACE_PLUGIN_PATH=path)
    tap.check(done.returncode == 2 and "no text column" in done.stderr, "check has the plugin's own words", words(done))


def refusals(tap, folder):
    for name, arguments, want in (
            ("a kind that is none", ("new", "filter", "x"), "`filter` is no kind of plugin"),
            ("a name that is none", ("new", "sink", "Bad-Name"), "`Bad-Name` is no name for a plugin"),
            ("a path for a name", ("new", "sink", "../x"), "is no name"),
            ("a folder that is there", ("new", "sink", KINDS["source"]), "exists"),
            ("another verb", ("old", "sink", "x"), "usage"),
            ("too few words", ("new", "sink"), "usage")):
        done = run(MILLRACE, "plugin", *arguments, cwd=folder)
        tap.check(done.returncode == 2 and want in done.stderr, f"refused: {name}", words(done))


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="millrace-skeleton-") as temp:
        folder = pathlib.Path(temp)
        (folder / "installed").mkdir()
        env = install(tap, folder / "installed")
        for kind, name in KINDS.items():
            build(tap, folder, kind, name, env)
            example(tap, folder, kind, name)
        together(tap, folder)
        refusals(tap, folder)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())

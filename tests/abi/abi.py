#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plugin ABI as a host and a plugin see it: what is refused and why, what headers compile as, how structs are laid out, what a
plugin exports. Prints TAP. usage: abi.py MILLRACE MODULES LAYOUT PLUGINS SOURCE"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

MILLRACE, MODULES, LAYOUT, PLUGINS, SOURCE = (pathlib.Path(a).resolve() for a in sys.argv[1:6])
DESCRIPTOR = "mr_plugin_desc"

# module -> what `check` says about it after the file's name
REFUSED = {
    "abi0": "abi 0, this runtime has 1",
    "abi2": "abi 2, this runtime has 1",
    "abi2-larger": "abi 2, this runtime has 1",
    "smaller": "struct mr_plugin has size",
    "small-options": "struct mr_opt has size 8",
    "small-source": "struct mr_source has size 16",
    "lies": f"{DESCRIPTOR} says",
    "tiny": f"{DESCRIPTOR} is no plugin descriptor",
    "function": f"{DESCRIPTOR} is no plugin descriptor",
    "misnamed": "the plugin in it is called `somebody`, not `probe`",
    "no-symbol": f"is no plugin: it does not export {DESCRIPTOR}",
    "two-kinds": "2 of source, transform and sink are set, not one",
    "no-read": "source.read is missing",
    "bad-default": "option `n` has a default that it refuses itself",
    "aborts": "aborted while loading (signal 6)",
    "exits": "ended the process while loading (exit status 7)",
    "crashes": "crashed while loading (signal 11",
    "undefined": "cannot be loaded: undefined symbol: nobody_has_this",
}
FILE = """name: p
sources:
  - name: in
    probe: {}
sinks:
  - name: out
    null: {}
"""


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


def millrace(folder, *args):
    env = {**os.environ, "MILLRACE_PLUGIN_PATH": str(folder), "LC_ALL": "C.UTF-8"}
    return subprocess.run([MILLRACE, *args], capture_output=True, text=True, env=env, timeout=60)


def place(folder, module, kind="sources", name="probe"):
    target = folder / kind / f"{name}.so"
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(module, bytes):
        target.write_bytes(module)
    else:
        shutil.copy(module, target)
    return target


def check_with(module, kind="sources"):
    """Runs `check` over a pipeline whose source is this module; gives the path it stood at, and the run."""
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        path = place(folder, module, kind)
        pipeline = folder / "p.yaml"
        pipeline.write_text(FILE)
        return path, millrace(folder, "check", pipeline), pipeline


def refused(tap, name, module, reason, kind="sources"):
    path, run, pipeline = check_with(module, kind)
    want = f"{pipeline}:4:5: /sources/in/probe: plugin `probe` is refused: {path}: {reason}"
    ok = run.returncode == 2 and run.stderr.startswith(want) and run.stderr.count("\n") == 1
    tap.check(ok, f"{name} is refused", f"exit {run.returncode}\n{run.stderr}\nwanted {want}")


def accepted(tap, name, module):
    _, run, _ = check_with(module)
    tap.check(run.returncode == 0, f"{name} is accepted", run.stderr)


def test_modules(tap):
    good = (MODULES / "good.so").read_bytes()
    accepted(tap, "a plugin of this abi", MODULES / "good.so")
    accepted(tap, "a plugin with more fields than this header has", MODULES / "larger.so")
    accepted(tap, "a plugin without the fields that came later", MODULES / "older.so")
    for name, reason in REFUSED.items():
        refused(tap, name, MODULES / f"{name}.so", reason)
    refused(tap, "a text file", b"#!/bin/sh\necho no plugin\n" * 10, "is no ELF file")
    refused(tap, "an empty file", b"", "is no ELF file")
    refused(tap, "half a module", good[: len(good) // 2], "is cut off: the file is too short")
    refused(tap, "a module's first 100 bytes", good[:100], "is cut off: the file is too short")
    refused(tap, "another machine's module", good[:18] + b"\xf3\x7f" + good[20:], "is built for another machine")
    refused(tap, "an executable's header", good[:16] + b"\x02\x00" + good[18:], "is no shared object")


def test_damage(tap):
    """Whatever bytes are wrong, the host itself lives."""
    good = (MODULES / "good.so").read_bytes()
    bad = []
    for offset in range(24, 1024, 37):
        damaged = bytearray(good)
        damaged[offset] ^= 0xFF
        _, run, _ = check_with(bytes(damaged))
        if run.returncode not in (0, 2):
            bad.append(f"byte {offset}: exit {run.returncode} {run.stderr}")
    tap.check(not bad, "a damaged byte in the headers never takes the host down", "\n".join(bad))


def test_kind(tap):
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        place(folder, MODULES / "good.so", kind="sinks")
        run = millrace(folder, "inspect", "probe")
        tap.check(run.returncode == 2 and "a source in the folder sinks" in run.stderr, "a source among the sinks is refused", run.stderr)
        pipeline = folder / "p.yaml"
        pipeline.write_text(FILE)
        run = millrace(folder, "check", pipeline)
        tap.check("`probe` is a sink, not a source" in run.stderr, "the wrong section is told", run.stderr)


def test_missing(tap):
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        pipeline = folder / "p.yaml"
        pipeline.write_text(FILE.replace("probe", "far_away"))
        run = millrace(folder, "check", pipeline)
        want = "no source plugin `far_away` is installed: the package millrace-plugin-far-away would have it"
        tap.check(want in run.stderr, "a missing plugin names its package", run.stderr)
        place(folder, MODULES / "good.so")
        pipeline.write_text(FILE.replace("probe", "porbe"))
        run = millrace(folder, "check", pipeline)
        tap.check("no source plugin `porbe` (did you mean `probe`?)" in run.stderr, "a misspelt plugin is guessed", run.stderr)
        pipeline.write_text(FILE.replace("probe", '"../sources/probe"'))
        run = millrace(folder, "check", pipeline)
        tap.check(run.returncode == 2 and "no source plugin `../sources/probe`" in run.stderr, "a path is no name", run.stderr)


def test_search(tap):
    with tempfile.TemporaryDirectory() as temp:
        first, second = pathlib.Path(temp) / "first", pathlib.Path(temp) / "second"
        place(second, MODULES / "good.so")
        place(first, MODULES / "abi2.so")
        run = millrace(f"{first}::{second}", "inspect", "probe")
        tap.check("abi 2" in run.stderr, "the first folder of the path wins", run.stderr)
        run = millrace(f"{second}:{first}", "inspect", "probe")
        tap.check(run.returncode == 0 and str(second) in run.stdout, "and so in the other order", run.stdout + run.stderr)
        nested = pathlib.Path(temp) / "nested"
        target = nested / "sources" / "probe" / "probe.so"
        target.parent.mkdir(parents=True)
        shutil.copy(MODULES / "good.so", target)
        run = millrace(nested, "inspect", "probe")
        tap.check(run.returncode == 0 and str(target) in run.stdout, "a build folder's layout is known", run.stdout + run.stderr)


def compilers():
    for name, standard, flag in (("gcc", "c11", "c"), ("clang", "c11", "c"), ("clang-14", "c11", "c"), ("g++", "c++17", "c++"), ("clang++", "c++17", "c++"), ("clang++-14", "c++17", "c++")):
        if shutil.which(name):
            yield name, standard, flag


def test_headers(tap):
    for header in sorted((SOURCE / "include" / "millrace").glob("*.h")):
        for name, standard, language in compilers():
            pedantic = ["-Wpedantic"] if language == "c" else []
            command = [name, f"-std={standard}", "-Wall", "-Wextra", "-Wshadow", "-Werror", *pedantic, "-Wno-unused-parameter",
                       "-fsyntax-only", "-I", str(SOURCE / "include"), "-x", language, "-"]
            source = f'#include "millrace/{header.name}"\n' + ("typedef int not_empty;\n" if language == "c" else "")
            run = subprocess.run(command, input=source, capture_output=True, text=True)
            tap.check(run.returncode == 0, f"{header.name} compiles alone: {name} {standard}", run.stderr)


def test_cpp_export(tap):
    compiler = shutil.which("g++") or shutil.which("clang++") or shutil.which("clang++-14")
    if not compiler:
        tap.skip("a C++ plugin exports its descriptor", "no C++ compiler")
        return
    with tempfile.TemporaryDirectory() as temp:
        module = pathlib.Path(temp) / "x.so"
        source = '#include "millrace/plugin.h"\nconst struct mr_plugin mr_plugin_desc = {};\n'
        subprocess.run([compiler, "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", "-I", str(SOURCE / "include"), "-x", "c++", "-", "-o", str(module)],
                       input=source, text=True, check=True, capture_output=True)
        tap.check(exported(module) == [DESCRIPTOR], "a C++ plugin with hidden visibility exports its descriptor as C", exported(module))


def exported(module):
    run = subprocess.run(["nm", "-D", "--defined-only", module], capture_output=True, text=True, check=True)
    # a sanitizer's build adds names of its own
    return [line.split()[-1] for line in run.stdout.splitlines() if not line.split()[-1].startswith(("__asan", "__odr_asan", "__tsan", "__ubsan"))]


def test_exports(tap):
    modules = sorted(PLUGINS.glob("*/*/*.so"))
    tap.check(bool(modules), "there are plugins to look at", PLUGINS)
    for module in modules:
        names = exported(module)
        tap.check(names == [DESCRIPTOR], f"{module.parent.parent.name}/{module.name} exports one symbol", names)


def test_layout(tap):
    golden = SOURCE / "tests" / "abi" / "abi-1.txt"
    now = subprocess.run([LAYOUT], capture_output=True, text=True, check=True).stdout
    if sys.maxsize < 2**32:
        tap.skip("the layout is that of abi-1.txt", "recorded for 64 bits")
        return
    want = golden.read_text()
    changed = sorted(set(now.splitlines()) ^ set(want.splitlines()))
    tap.check(now == want, "the layout is that of abi-1.txt", "\n".join(changed))


def test_layout_is_whole(tap):
    """Every field of the header is in the listing: a new one cannot be forgotten."""
    text = (SOURCE / "tests" / "abi" / "layout.c").read_text()
    last = {"mr_plugin": "explain", "mr_source": "close", "mr_transform": "close", "mr_sink": "close", "mr_open": "stage"}
    sizes = dict(line.split()[:2] for line in subprocess.run([LAYOUT], capture_output=True, text=True).stdout.splitlines())
    ends = {}
    for line in subprocess.run([LAYOUT], capture_output=True, text=True).stdout.splitlines():
        parts = line.split()
        if len(parts) == 3:
            struct = parts[0].split(".")[0]
            ends[struct] = max(ends.get(struct, 0), int(parts[1]) + int(parts[2]))
    short = [f"{s}: fields end at {end}, the struct at {sizes[s]}" for s, end in ends.items() if int(sizes[s]) - end >= 8]
    tap.check(not short, "layout.c lists every field", "\n".join(short))
    tap.check(all(f"FIELD({s}, {f})" in text for s, f in last.items()), "layout.c lists the last fields by name")


def main():
    tap = Tap()
    for test in (test_modules, test_damage, test_kind, test_missing, test_search, test_headers, test_cpp_export, test_exports, test_layout, test_layout_is_whole):
        test(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())

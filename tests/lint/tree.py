#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules for the files of the tree: a licence line, no machine paths, no tabs or trailing blanks in
C, no line over 100 columns in C, Python that compiles, one name for one file of pytest's. usage: tree.py [ROOT]"""

import pathlib
import re
import subprocess
import sys

LICENCE = "SPDX-License-Identifier: Apache-2.0"
NEEDS_LICENCE = {".c", ".h", ".py", ".sh", ".build"}
MACHINE = re.compile(r"(?<![\w.$}])(/work/|/root/|/home/[a-z]+/|/Users/)")
COLUMNS = 100


def tracked(root):
    done = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True,
                          text=True, check=True)
    files = [root / name for name in done.stdout.split("\0") if name]
    return [f for f in files if f.is_file() and not f.is_symlink()]


def check_c(lines):
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield number, "tab"
        if line != line.rstrip():
            yield number, "trailing blanks"
        if len(line) > COLUMNS:
            yield number, f"{len(line)} columns, at most {COLUMNS}"


def check_python(path, text):
    try:
        compile(text, str(path), "exec")
    except SyntaxError as e:
        yield e.lineno or 1, f"does not compile: {e.msg}"


def check_file(path):
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    lines = text.splitlines()
    if path.suffix in NEEDS_LICENCE and not any(LICENCE in line for line in lines[:3]):
        yield 1, "no licence line"
    for number, line in enumerate(lines, 1):
        if MACHINE.search(line) and path.name != "tree.py":
            yield number, "path of a machine"
    if path.suffix in {".c", ".h"}:
        yield from check_c(lines)
    if path.suffix == ".py":
        yield from check_python(path, text)


def same_names(files):
    """pytest imports its files by their names alone."""
    seen = {}
    for path in files:
        if re.fullmatch(r"test_\w+\.py", path.name):
            other = seen.setdefault(path.name, path)
            if other != path:
                yield path, f"{other.parent.name} has a file of this name: pytest cannot import both"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = tracked(root)
    problems = [f"{path.relative_to(root)}:{number}: {what}"
                for path in files for number, what in check_file(path)]
    problems += [f"{path.relative_to(root)}:1: {what}" for path, what in same_names(files)]
    print("\n".join(problems) if problems else "tree: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

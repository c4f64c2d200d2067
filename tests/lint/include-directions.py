#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each layer of the runtime includes only layers below it; plugins include only include/ and
plugins/common; public headers include only themselves and libc. usage: include-directions.py [ROOT]"""

import pathlib
import re
import sys

BELOW = {
    "base": set(),
    "data": {"base"},
    "format": {"base", "data"},
    "expr": {"base", "data"},
    "conf": {"base", "data"},
    "plug": {"base", "data", "format", "expr", "conf"},
    "engine": {"base", "data", "format", "expr", "conf", "plug"},
    "app": {"base", "data", "format", "expr", "conf", "plug", "engine"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
PUBLIC = "millrace/"


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if found := INCLUDE.match(line):
            yield number, found[1] == '"', found[2]


def target(root, path, name):
    """The file of the tree that an include means, or None for the system's."""
    for base in (path.parent, root / "runtime", root / "plugins", root / "include"):
        file = (base / name).resolve()
        if file.is_file() and file.is_relative_to(root):
            return file.relative_to(root)
    return None


def refused(source, file):
    """Why source (relative) may not include file (relative), or None."""
    if file.parts[0] == "include":
        return None
    if source.parts[0] == "include":
        return "public headers include only public headers"
    if source.parts[0] == "runtime":
        mine = source.parts[1]
        if file.parts[0] != "runtime":
            return "the runtime does not include plugins"
        if file.parts[1] != mine and file.parts[1] not in BELOW[mine]:
            return f"{mine} does not see {file.parts[1]}"
    if source.parts[0] == "plugins":
        if file.parts[0] == "runtime":
            return "plugins see include/ and plugins/common only"
        if file.parts[1] != "common" and file.parent != source.parent:
            return "a plugin does not include another plugin"
    return None


def check(root):
    problems = []
    for folder in ("include", "runtime", "plugins"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            source = path.relative_to(root)
            if source.parts[0] == "runtime" and source.parts[1] not in BELOW:
                problems.append(f"{source}:1: {source.parts[1]} is no layer of the runtime")
                continue
            for number, quoted, name in includes(path):
                file = target(root, path, name)
                reason = refused(source, file) if file else None
                if quoted and not file:
                    reason = f"\"{name}\" is not in the tree"
                if reason:
                    problems.append(f"{source}:{number}: {reason}: {name}")
    return problems


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = check(root)
    print("\n".join(problems) if problems else "include directions: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

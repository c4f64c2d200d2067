#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files of plugin skeletons as C texts. usage: embed.py OUTPUT FILE..."""

import pathlib
import sys


def literal(line):
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


def main():
    output, files = sys.argv[1], [pathlib.Path(name) for name in sys.argv[2:]]
    out = ['#include "app/skeleton.h"']
    for file in files:
        lines = [line for line in file.read_text().splitlines() if "SPDX-License" not in line]
        out.append(f"const char mr_skeleton_{file.name.replace('.', '_')}[] =")
        out += [f"  {literal(line)}" for line in lines]
        out[-1] += ";"
    pathlib.Path(output).write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()

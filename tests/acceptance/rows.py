#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tests that rows.txt names exist, and every row says what shows it or why nothing does. Prints TAP. usage: rows.py SOURCE"""

import pathlib
import re
import sys

ROW = re.compile(r"S\d-\d+")


def names(path):
    """The tests in a file, as rows.txt names them."""
    text = path.read_text()
    if path.suffix == ".py":
        return set(re.findall(r"^def (test_\w+)\(", text, re.M))
    return set(re.findall(r'^ *[A-Za-z_]+\(\s*"([^"]+)",', text, re.M))


def wrong_test(source, test):
    """Why there is no such test, or None."""
    file, _, name = test.partition("::")
    path = source / file
    if not path.is_file():
        return f"no file {file}"
    if not name:
        return None if path.suffix in (".tsv", ".yaml") else f"{file} is no table: name a test of it"
    return None if name in names(path) else f"{file} has no test {name}"


def wrong_row(source, line):
    """What is wrong with a line of the table: texts."""
    parts = [part.strip() for part in line.split("|")]
    if len(parts) not in (3, 4) or not ROW.fullmatch(parts[0]) or not parts[1]:
        return ["not `row | capability | tests`, or with `| part: why` behind"]
    if len(parts) == 4 and not re.fullmatch(r"part: \S.*", parts[3]):
        return ["the fourth part begins with `part: `"]
    if parts[2].startswith("open: "):
        return [] if len(parts) == 3 and len(parts[2]) > 6 else ["an open row says why, and nothing else"]
    return [why for why in (wrong_test(source, test) for test in parts[2].split()) if why] or ([] if parts[2] else ["no test"])


def check_itself(source):
    """Mistakes that must be found: (line, words of the message)."""
    good = "tests/acceptance/rows.txt"
    return [(line, said) for line, said in (
        ("S1-1 | x | tests/e2e/no_such.py::test_x", "no file"),
        ("S1-1 | x | tests/e2e/test_settings.py::test_no_such", "has no test"),
        ("S1-1 | x | tests/unit/conf/test-override.c::/override/no-such", "has no test"),
        (f"S1-1 | x | {good}", "is no table"),
        ("S1-1 | x | ", "no test"),
        ("S1-1 | x | open: ", "no file"),
        ("x | y", "not `row"),
    ) if not any(said in why for why in wrong_row(source, line))]


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    lines = [line for line in (source / "tests" / "acceptance" / "rows.txt").read_text().splitlines() if line and line[0] != "#"]
    rows = [line.split("|")[0].strip() for line in lines]
    results = [(row, wrong_row(source, line)) for row, line in zip(rows, lines)]
    results.append(("each row once", sorted({row for row in rows if rows.count(row) > 1})))
    results.append(("mistakes are found", check_itself(source)))
    for number, (name, wrong) in enumerate(results, 1):
        print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
        for why in wrong:
            print(f"# {why}")
    still = [row for row, line in zip(rows, lines) if "| open: " in line]
    print(f"# {len(rows)} rows, {len(still)} open: {' '.join(still)}")
    print(f"1..{len(results)}")
    return any(wrong for _, wrong in results)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts single tests, not programs: TAP lines of a meson test log, cases of a JUnit file, closing
lines of a text. Names every failure and every skip with its reason, then prints one closing line.

usage: report.py [--no-details] KIND:LABEL:FILE...     KIND is meson, junit or text
       report.py --one RESULT LABEL [REASON]           one check of its own: pass, fail or skip
Exit status 1 when something failed or a file cannot be read."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

POINT = re.compile(r"^(not )?ok\b\s*(\d*)\s*-?\s*(.*?)(?:\s*#\s*(SKIP|TODO)\b\S*\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*SKIP\S*\s*(.*))?", re.I)
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
GOOD = {"OK", "EXPECTEDFAIL"}


class Counts:
    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []
        self.more_failed = self.more_skipped = 0

    @property
    def failed(self):
        return len(self.failures) + self.more_failed

    @property
    def skipped(self):
        return len(self.skips) + self.more_skipped

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        self.more_failed += other.more_failed
        self.more_skipped += other.more_skipped

    def closing_line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_tap(name, text, counts):
    """Adds the test points of one program; returns whether the text was TAP at all."""
    planned, seen = None, 0
    for line in text.splitlines():
        if plan := PLAN.match(line):
            planned = int(plan[1])
            if planned == 0:
                counts.skips.append((name, plan[2] or "no reason given"))
        elif point := POINT.match(line):
            seen += 1
            title, directive = f"{name} {point[3]}", (point[4] or "").upper()
            if directive:
                counts.skips.append((title, point[5] or "no reason given"))
            elif point[1]:
                counts.failures.append((title, "not ok"))
            else:
                counts.passed += 1
    if planned is not None and seen < planned:
        counts.failures.append((name, f"only {seen} of {planned} tests ran"))
    return planned is not None or seen > 0


def count_program(entry):
    counts, name, result = Counts(), entry["name"], entry["result"]
    is_tap = count_tap(name, entry.get("stdout") or "", counts)
    if result == "SKIP" and not is_tap:
        reason = (entry.get("stdout") or entry.get("stderr") or "").strip().splitlines()
        counts.skips.append((name, reason[-1] if reason else "no reason given"))
    elif result not in GOOD | {"SKIP"} and not counts.failures:
        counts.failures.append((name, f"{result.lower()}, exit status {entry['returncode']}"))
    elif not is_tap and result in GOOD:
        counts.passed += 1
    return counts


def count_meson(path):
    counts = Counts()
    with open(path) as log:
        for line in log:
            counts.add(count_program(json.loads(line)))
    return counts


def count_junit(path):
    counts = Counts()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".lstrip(".")
        bad = [e for e in case if e.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            counts.failures.append((name, (bad[0].get("message") or bad[0].tag).split("\n")[0]))
        elif skip is not None:
            counts.skips.append((name, skip.get("message") or "no reason given"))
        else:
            counts.passed += 1
    return counts


def count_text(path):
    """The last closing line of a text; its details were printed when it was made."""
    counts = Counts()
    with open(path, errors="replace") as text:
        found = [m for m in map(CLOSING.match, map(str.strip, text)) if m]
    if not found:
        raise ValueError("no closing line")
    counts.passed, counts.more_failed, counts.more_skipped = map(int, found[-1].groups())
    return counts


READERS = {"meson": count_meson, "junit": count_junit, "text": count_text}


def read(argument):
    kind, label, path = argument.split(":", 2)
    try:
        counts = READERS[kind](path)
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as e:
        counts = Counts()
        counts.failures.append((label, f"no result: {e}"))
    return label, counts


def single(result, label, reason="no reason given"):
    counts = Counts()
    if result == "pass":
        counts.passed = 1
    else:
        (counts.failures if result == "fail" else counts.skips).append((label, reason))
    return counts


def print_details(counts):
    for name, reason in counts.skips:
        print(f"skipped: {name}: {reason}")
    for name, reason in counts.failures:
        print(f"FAILED: {name}: {reason}")


def main(arguments):
    total = Counts()
    if arguments[:1] == ["--one"]:
        total.add(single(*arguments[1:]))
        parts = []
    else:
        parts = [read(a) for a in arguments if a != "--no-details"]
    for label, counts in parts:
        print(f"{label}: {counts.closing_line()}")
        total.add(counts)
    if "--no-details" not in arguments:
        print_details(total)
    print(total.closing_line(), flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

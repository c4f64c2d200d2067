#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The template unit is one that systemd takes, and runs what there is. Prints TAP. usage: units.py UNIT"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def report(number, ok, name, why=()):
    ok = bool(ok)
    print(f"{'ok' if ok else 'not ok'} {number} - {name}")
    for line in why:
        print(f"# {line}")
    return ok


def verify(tool, text):
    """What systemd has to say of the unit, with a program and a user that every machine has."""
    text = re.sub(r"^(User|Group)=millrace$", r"\1=root", text, flags=re.M)
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M)
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "millrace@test.service"
        unit.write_text(text)
        done = subprocess.run([tool, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if "millrace@" in line]


def main(unit):
    text = unit.read_text()
    wrong = [line for line in text.splitlines() if not re.fullmatch(r"|#.*|\[\w+\]|\w+=.*", line)]
    sections = re.findall(r"^\[(\w+)\]$", text, re.M)
    print("1..3")
    ok = report(1, not wrong and sections == ["Unit", "Service", "Install"], "its lines are those of a unit", wrong)
    ok &= report(2, re.search(r"^ExecStart=/[\w./-]+/millrace run --quiet /etc/millrace/%i\.yaml$", text, re.M),
                 "it runs the program by its path")
    tool = shutil.which("systemd-analyze")
    if not tool:
        print("ok 3 # SKIP systemd-analyze is not installed")
        return 0 if ok else 1
    said = verify(tool, text)
    return 0 if report(3, not said, "systemd-analyze verify", said) and ok else 1


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

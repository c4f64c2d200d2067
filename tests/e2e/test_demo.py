# SPDX-License-Identifier: Apache-2.0
"""./dev demo, behind its build: what a newcomer sees."""

import os
import re
import subprocess

from servers.runner import BINARY, TREE


def test_demo_shows_what_arrived(tmp_path):
    done = subprocess.run(["bash", "tests/demo/demo.sh", str(BINARY.parent)], cwd=TREE, text=True,
                          capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
                          env={**os.environ, "DEMO": str(tmp_path / "demo"), "TRADES": "5000"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"5000 rows of 5000 in \d+ ms from start to exit: \d+ rows/s", done.stdout)
    assert done.stdout.count('"kind":"letter"') == 3  # the broken messages
    assert len(re.findall(r"│ 10\d{8} │.*│ h1:", done.stdout)) == 10  # a table with masked addresses
    assert "user1@" not in done.stdout
    assert "pipelines/demo.yaml" in done.stdout.split("== next")[1]

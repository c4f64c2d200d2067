# SPDX-License-Identifier: Apache-2.0
"""The source `changes` (tests/changes): lines of JSON with the system columns that tell what a change means."""

import json

from servers.runner import BINARY

BOUNDS = {"lower": None, "upper": None, "lower_inc": False, "upper_inc": False}


def plugins(millrace):
    """The environment in which pipelines find it."""
    folder = millrace.folder / "plugins" / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "changes.so").exists():
        (folder / "changes.so").symlink_to(BINARY.parent / "tests" / "changes" / "changes.so")
    return {"MILLRACE_PLUGIN_PATH": str(folder.parent)}


def write(millrace, changes, name="in.jsonl"):
    return millrace.write(name, "".join(json.dumps(c) + "\n" for c in changes))


def bounds(**given):
    """What `_range` says of a column: bounds(lower=1, lower_inc=True)."""
    return {**BOUNDS, **given}

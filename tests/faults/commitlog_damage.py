# SPDX-License-Identifier: Apache-2.0
"""Damaged commit log segments of live Cassandra nodes, one for each form of the log: each segment cut at
every 4 KiB, and N random bits flipped, one at a time, read by a build with AddressSanitizer and
UndefinedBehaviorSanitizer (tests/fuzz/commitlog-damage.c says what must hold).
usage: ./dev faults commitlog-damage [--n BITS] [--seed SEED] [--form NAME] [--statements N]"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from faults.commitlog import FORMS, LogReader, Run
from servers.cassandra import Cassandra
from servers.runner import TREE

PROGRAM = "tests/fuzz/commitlog-damage"
SANITIZED = TREE / "build-asan"
SEGMENT = "1MiB"  # small, as each flip reads a whole one
LIMIT = 3600      # seconds for the segments of one form


def sanitized_program():
    if not (SANITIZED / "build.ninja").exists():
        subprocess.run(["meson", "setup", SANITIZED, "-Dbuildtype=debugoptimized", "-Doptimization=1",
                        "-Db_sanitize=address,undefined", "-Db_lundef=false"],
                       cwd=TREE, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", SANITIZED, PROGRAM], check=True, stdout=subprocess.DEVNULL)
    return SANITIZED / PROGRAM


def write_schema(node, keyspace, path):
    path.write_text("\n".join(row[-1] for row in node.cql(f"DESCRIBE KEYSPACE {keyspace} WITH INTERNALS")))
    return path


def segments(node, reader, keyspace):
    """Paths of those that hold changes of the keyspace."""
    ids = {e["segment"] for e in reader.events(keyspace)}
    return sorted(p for p in reader.folder.glob("*.log") if int(p.stem.rsplit("-", 1)[1]) in ids)


def damage(program, paths, schema, bits, seed, cuts=None):
    """Runs the program on these segments; returns its status and what it printed."""
    arguments = [] if cuts is None else ["--cuts", str(cuts)]
    done = subprocess.run(
        [program, "--flips", str(-(-bits // len(paths))), "--seed", str(seed), "--schema", schema, *arguments,
         *paths], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1",
             "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
    return done.returncode, done.stdout


def make_segments(form, folder, statements, seed):
    """A node's segments and schema; the node is gone afterwards."""
    keyspace = "damaged"
    with Cassandra(folder / "node", settings={"commitlog_segment_size": SEGMENT}, **FORMS[form]) as node:
        node.create_keyspace(keyspace)
        run = Run(node, LogReader(node.commitlog, folder / "log"), keyspace, seed)
        run.send(statements)
        run.events()
        schema = write_schema(node, keyspace, folder / "schema.cql")
        node.stop()
        return segments(node, run.reader, keyspace), schema


def run_form(program, form, bits, statements, seed):
    with tempfile.TemporaryDirectory(prefix=f"millrace-damage-{form}-") as folder:
        paths, schema = make_segments(form, pathlib.Path(folder), statements, seed)
        begin = time.monotonic()
        code, text = damage(program, paths, schema, bits, seed)
        return code, f"{form}: {len(paths)} segments, {time.monotonic() - begin:.0f} s, ended with {code}\n{text}"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults commitlog-damage", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="bits, over all forms")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--statements", type=int, default=300, help="for each form")
    parser.add_argument("--form", action="append", choices=list(FORMS))
    options = parser.parse_args(arguments)
    forms = options.form or list(FORMS)
    program = sanitized_program()
    print(f"seed {options.seed}: {options.n} bits", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(run_form, program, form, -(-options.n // len(forms)), options.statements, options.seed)
                for form in forms]
        for run in concurrent.futures.as_completed(runs):
            code, text = run.result()
            failed += code != 0
            print(text, flush=True)
    print(f"{failed} of {len(forms)} forms failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""libFuzzer on one of the targets in this folder, with AddressSanitizer and UndefinedBehaviorSanitizer;
what it finds is kept in build-fuzz/NAME. --coverage builds the target once more and shows which lines of
the readers all inputs so far reach.   usage: ./dev fuzz commitlog|cql [--minutes N] [--coverage]"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
SANITIZERS = "address,undefined"
INPUT_MAX = 16_384  # bytes: small inputs are quick
READERS = {
    "commitlog": ["clog-decode.c", "clog-segment.c", "clog-file.c", "clog-inflate.c", "clog-schema.c",
                  "clog-system.c"],
    "cql": ["cql-frame.c", "cql-reply.c", "cql-type.c", "cql-value.c", "cql-arrow.c"],
}


def build(folder, name, *, c_args, sanitize, fuzzer):
    """The target in a build folder of its own, by clang."""
    if not (folder / "build.ninja").exists():
        subprocess.run(["meson", "setup", folder, "-Dbuildtype=debugoptimized", "-Doptimization=1",
                        f"-Dfuzzer={fuzzer}", f"-Db_sanitize={sanitize}", "-Db_lundef=false",
                        f"-Dc_args={c_args}", f"-Dc_link_args={c_args}"],
                       cwd=TREE, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CC": "clang"})
    program = f"tests/fuzz/fuzz-{name}"
    subprocess.run(["ninja", "-C", folder, program], check=True, stdout=subprocess.DEVNULL)
    return folder / program


def sow(name, corpus):
    """The target's own seeds into its corpus; inputs of earlier runs stay."""
    corpus.mkdir(parents=True, exist_ok=True)
    program = TREE / "build" / "tests" / "fuzz" / f"fuzz-{name}"
    subprocess.run([program, "--seeds", corpus], check=True)


def fuzz(name, folder, minutes):
    program = build(TREE / "build-fuzz", name, c_args="-fsanitize=fuzzer-no-link", sanitize=SANITIZERS,
                    fuzzer="true")
    found = folder / "found"
    found.mkdir(exist_ok=True)
    done = subprocess.run(
        [program, f"-max_total_time={int(minutes * 60)}", f"-max_len={INPUT_MAX}", "-timeout=30",
         "-rss_limit_mb=2048", "-use_value_profile=1", "-reload=0", "-print_final_stats=1",
         f"-dict={TREE}/tests/fuzz/fuzz-{name}.dict", f"-artifact_prefix={found}/", folder / "corpus"],
        env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})
    return done.returncode


def coverage(name, folder):
    """Runs all inputs through a build that counts; prints a line for each reader."""
    program = build(TREE / "build-coverage", name, c_args="-fprofile-instr-generate -fcoverage-mapping",
                    sanitize="none", fuzzer="true")
    raw, merged = folder / "coverage.raw", folder / "coverage.profile"
    subprocess.run([program, "-runs=0", f"-max_len={INPUT_MAX}", folder / "corpus"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "LLVM_PROFILE_FILE": str(raw)})
    subprocess.run(["llvm-profdata", "merge", "-o", merged, raw], check=True)
    report = subprocess.run(["llvm-cov", "export", "-summary-only", program, f"-instr-profile={merged}"],
                            check=True, stdout=subprocess.PIPE).stdout
    for file in json.loads(report)["data"][0]["files"]:
        if (reader := os.path.basename(file["filename"])) in READERS[name]:
            kinds = (f"{kind} {file['summary'][kind]['percent']:.0f} %" for kind in ("lines", "branches", "functions"))
            print(f"{reader:18} {', '.join(kinds)}")


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("name", choices=list(READERS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--coverage", action="store_true")
    options = parser.parse_args()
    folder = TREE / "build-fuzz" / options.name
    sow(options.name, folder / "corpus")
    code = fuzz(options.name, folder, options.minutes)
    if options.coverage:
        coverage(options.name, folder)
    return code


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Programs of Debian 13 on an older Debian: packages fetched and unpacked once into a cache folder.

Nothing is installed and no root is needed: apt-get works on folders of its own, the packages' files
are unpacked side by side, and each program asked for runs with the libraries beside it."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess

from .maven import cache_folder
from .process import absent, require_tool

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SKIPPED = re.compile(r"libllvm|libz3|libperl|libc-l10n")  # for compiling queries and for Perl
UNPACKED = re.compile(r"lib|postgresql")

APT = """Dir::Etc::SourceList "{work}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{work}/state";
Dir::State::Status "{work}/status";
Dir::Cache "{work}/cache";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
"""

WRAPPER = """#!/bin/sh
root=${{0%/{program}}}
exec "$root/{loader}" --library-path "$root/{libraries}" --argv0 "$0" "$0.elf" "$@"
"""


def folder(name, *packages, programs):
    """Root folder of the packages and all they depend on; programs: paths below it to run, by
    absolute names."""
    text = "\n".join([*packages, *programs, UNPACKED.pattern, SKIPPED.pattern, WRAPPER])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    made = cache_folder() / f"debian13-{name}-{digest}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with open(made.parent / f".{made.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made, packages, programs)
    return made


def _run(argv, env=None):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=env)
    if done.returncode != 0:
        raise absent(f"Debian 13: {argv[0]} {argv[1]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _mirror():
    """Where this machine gets its own Debian packages from."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"],
                            capture_output=True, text=True).stdout.splitlines()
    found = [uri.rstrip("/") for origin, _, uri in (line.partition(" ") for line in listed)
             if origin == "Debian" and uri.rstrip("/").endswith("/debian")]
    return found[0] if found else MIRROR


def _make(made, packages, programs):
    work, root = made.parent / f".{made.name}.apt", made.parent / f".{made.name}.new"
    for path in (work, root):
        shutil.rmtree(path, ignore_errors=True)
    for path in ("state/lists/partial", "cache/archives/partial"):
        (work / path).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} trixie main\n")
    (work / "apt.conf").write_text(APT.format(work=work))
    env = {"APT_CONFIG": str(work / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
           "LC_ALL": "C.UTF-8"}
    apt = require_tool("apt-get")
    _run([apt, "update"], env)
    _run([apt, "--yes", "--download-only", "install", *packages], env)
    for package in sorted((work / "cache/archives").glob("*.deb")):
        if UNPACKED.match(package.name) and not SKIPPED.match(package.name):
            _run([require_tool("dpkg-deb"), "-x", package, root])
    for program in programs:
        _wrap(root, program)
    root.chmod(0o755)
    root.rename(made)
    shutil.rmtree(work)


def _wrap(root, program):
    """A script in the program's place starts it with the folder's own loader and libraries."""
    loader = next((root / "usr/lib64").glob("ld-linux*"), None)
    if not loader:
        raise absent("Debian 13: the C library has no loader where it was looked for")
    libraries = next((root / "usr/lib").glob("*-linux-gnu"))
    path = root / program
    path.rename(path.with_name(path.name + ".elf"))
    path.write_text(WRAPPER.format(program=program, loader=loader.relative_to(root),
                                   libraries=libraries.relative_to(root)))
    path.chmod(0o755)


def _link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def copy(root, target):
    """The folder once more, for a user who may not look into the cache folder; no bytes are copied
    where links will do."""
    shutil.copytree(root, target, symlinks=True, copy_function=_link)
    return target

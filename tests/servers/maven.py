# SPDX-License-Identifier: Apache-2.0
"""Java libraries from Maven, copied once into a cache folder."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

from .process import absent, require_tool

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace.tests</groupId>
  <artifactId>libraries</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{}  </dependencies>
</project>
"""

DEPENDENCY = """    <dependency>
      <groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>
    </dependency>
"""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "millrace-tests"


def libraries(name, *coordinates):
    """Folder with the jars of 'group:artifact:version' coordinates and all they depend on."""
    digest = hashlib.sha256("\n".join(coordinates).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _download(folder, coordinates)
    return folder


def _download(folder, coordinates):
    work = folder.parent / f".{folder.name}.new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "pom.xml").write_text(
        POM.format("".join(DEPENDENCY.format(*c.split(":")) for c in coordinates)))
    command = [require_tool("mvn"), "-q", "-B", "-f", str(work / "pom.xml"),
               "dependency:copy-dependencies", f"-DoutputDirectory={work}/lib"]
    for attempt in (1, 2, 3):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            (work / "lib").rename(folder)
            shutil.rmtree(work)
            return
    raise absent(f"mvn failed for {', '.join(coordinates)}:\n{(done.stdout + done.stderr)[-2000:]}")

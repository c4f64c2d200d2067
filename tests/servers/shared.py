# SPDX-License-Identifier: Apache-2.0
"""One Cassandra node for all workers of a test run: the first that needs it starts it, and it ends with the last.

Each worker holds a shared lock as long as it lives, however it ends. A keeper process of no worker owns
the node and waits for the exclusive lock, which it gets when nobody is left."""

import fcntl
import json
import pathlib
import shutil
import signal
import subprocess
import sys

from .cassandra import Cassandra, Client
from .process import ServerError, tail, wait_until

TESTS = pathlib.Path(__file__).resolve().parents[1]


class SharedCassandra(Client):
    """The run's node, with change data capture on; `cdc_raw` is where its segments are."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._used = open(self.folder / "used", "a")
        fcntl.flock(self._used, fcntl.LOCK_SH)
        with open(self.folder / "starting", "a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            state = self.folder / "state.json"
            if not state.exists():
                self._start(state)
            found = json.loads(state.read_text())
        super().__init__(found["port"])
        self.cdc_raw = pathlib.Path(found["cdc_raw"])
        self.commitlog = self.cdc_raw.parent / "commitlog"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()
        self._used.close()

    def _start(self, state):
        log = self.folder / "keeper.log"
        with open(log, "ab") as out:
            keeper = subprocess.Popen([sys.executable, "-m", "servers.shared", str(self.folder)], cwd=TESTS,
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

        def ready():
            if keeper.poll() is not None:
                raise ServerError(f"the node was not started:\n{tail(log)}")
            return state.exists()
        wait_until(ready, 330, "the shared node")


def keep(folder):
    """Runs the node until no worker uses it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the workers' business
    state = folder / "state.json"
    with Cassandra(folder / "node") as node:
        node.disconnect()
        written = folder / "state.new"
        written.write_text(json.dumps({"port": node.port, "cdc_raw": str(node.cdc_raw)}))
        written.rename(state)
        with open(folder / "used", "a") as used:
            fcntl.flock(used, fcntl.LOCK_EX)
            state.unlink()
            node.stop(signal.SIGKILL)  # nobody reads it again
    shutil.rmtree(folder / "node", ignore_errors=True)


if __name__ == "__main__":
    keep(pathlib.Path(sys.argv[1]))

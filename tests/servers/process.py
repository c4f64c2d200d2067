# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive the run that started them, and small waiting helpers."""

import ctypes
import os
import signal
import socket
import subprocess
import time
import unittest

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ServerError(RuntimeError):
    """A server could not be started or stopped; the text ends with the tail of its log."""


class Absent(ServerError, unittest.SkipTest):
    """What a test needs cannot be had on this machine: pytest skips the test, with this reason."""


def absent(why):
    """The error to raise: where CI is set nothing may be missing, so nothing is skipped there."""
    return ServerError(why) if os.environ.get("CI") else Absent(why)


def free_port():
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(check, timeout, what, interval=0.05):
    """Calls check() until it returns something true, and returns that; ServerError after timeout."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise ServerError(f"{what}: not within {timeout} s")
        time.sleep(interval)


def tail(path, lines=30):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError as e:
        return f"(no log: {e})"


class Process:
    """One child with its output in a log file; killed by the kernel should its parent die."""

    def __init__(self, argv, log, *, env=None, cwd=None, user=None, death=signal.SIGKILL):
        self.log = log
        account = {"user": user, "group": user, "extra_groups": []} if user else {}

        def last_will():
            _libc.prctl(PR_SET_PDEATHSIG, int(death), 0, 0, 0)

        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env,
                cwd=cwd, start_new_session=True, preexec_fn=last_will, **account)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def require_running(self, what):
        if not self.running():
            raise ServerError(f"{what} ended with {self.popen.returncode}:\n{tail(self.log)}")

    def stop(self, sig=signal.SIGTERM, timeout=20):
        """Sends sig, waits, and falls back to SIGKILL; returns the exit status."""
        if self.running():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()


def require_tool(name, *folders):
    """Path of a program from PATH or one of folders; ServerError that names it otherwise."""
    for folder in [*folders, *os.environ.get("PATH", "").split(os.pathsep)]:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise absent(f"program not found: {name} (run ./dev deps)")

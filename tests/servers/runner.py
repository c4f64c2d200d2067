# SPDX-License-Identifier: Apache-2.0
"""Runs build/millrace: one command to its end, or a pipeline in the background."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import time

from .process import Process, ServerError, tail, wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MILLRACE_BINARY", TREE / "build" / "millrace"))
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


@dataclasses.dataclass
class Result:
    """What a finished command left behind."""

    code: int
    out: str
    err: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    max_rss: int = 0

    @property
    def text(self):
        return self.out + self.err

    def expect(self, *codes):
        """Fails with the command's own words unless it ended with one of these exit codes."""
        assert self.code in (codes or (0,)), f"exit code {self.code}\n{self.text[-4000:]}"
        return self


class Running:
    """A pipeline in the background; its output is in a file while it runs."""

    def __init__(self, argv, log, env, cwd):
        self.started = time.monotonic()
        self.process = Process(argv, log, env=env, cwd=cwd)
        self.usage = None

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return tail(self.process.log, 10 ** 6)

    def alive(self):
        """Whether it still runs; the end and what it used are remembered."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.seconds = time.monotonic() - self.started
                self.usage = usage
                self.process.popen.returncode = os.waitstatus_to_exitcode(status)
        return self.usage is None

    def signal(self, sig):
        os.kill(self.pid, sig)

    def kill(self):
        """kill -9, and waits for the end."""
        if self.alive():
            self.signal(signal.SIGKILL)
        return self.wait()

    def terminate(self, timeout=40):
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout=60):
        """Waits for the end (ServerError after timeout) and returns the Result."""
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                self.signal(signal.SIGKILL)
                raise ServerError(f"still running after {timeout} s:\n{self.log[-4000:]}")
            time.sleep(0.002)
        return Result(self.process.popen.returncode, "", self.log, self.seconds,
                      self.usage.ru_utime + self.usage.ru_stime, self.usage.ru_maxrss * 1024)

    def wait_for(self, check, timeout=30, what="expected state"):
        """Waits until check() is true while the pipeline lives."""
        def step():
            lives = self.alive()  # asked first: what ends behind the check has done its last
            value = check()
            if not value and not lives:
                raise ServerError(f"ended while waiting for {what}:\n{self.log[-4000:]}")
            return value
        try:
            return wait_until(step, timeout, what, 0.02)
        except ServerError as e:
            raise ServerError(f"{e}\n{self.log[-4000:]}") from None

    def rss(self):
        """Resident bytes now."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Millrace:
    """The program under test with a folder of its own and an environment of its own."""

    def __init__(self, folder, env=None, binary=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = str(binary or BINARY)
        self.env = {k: os.environ[k] for k in KEPT if k in os.environ}
        self.env["G_DEBUG"] = "fatal-criticals"  # misuse of GLib ends the program
        self.env["STATE"] = str(self.folder / "state")
        self.env.update(env or {})
        self.runs = []

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def read(self, name):
        return (self.folder / name).read_text()

    def command(self, *arguments, timeout=60, stdin=None, env=None):
        """Runs millrace with these arguments to its end."""
        begin = time.monotonic()
        done = subprocess.run([self.binary, *map(str, arguments)], input=stdin, text=True,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, cwd=self.folder,
                              env={**self.env, **(env or {})}, timeout=timeout, errors="replace")
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)

    def run(self, text, *arguments, timeout=60, env=None, once=True):
        """Runs a pipeline given as YAML text, to the end its sources had at start."""
        once_option = ["--once"] if once else []
        return self.command("run", self.write("pipeline.yaml", text), *once_option, *arguments,
                            timeout=timeout, env=env)

    def check(self, text, *arguments, **options):
        return self.command("check", self.write("pipeline.yaml", text), *arguments, **options)

    def start(self, text, *arguments, env=None, name="pipeline.yaml", log="run.log"):
        """Starts a pipeline in the background; ended by stop_all() at the latest."""
        argv = [self.binary, "run", self.write(name, text), *map(str, arguments)]
        running = Running(argv, self.folder / log, {**self.env, **(env or {})}, self.folder)
        self.runs.append(running)
        return running

    def stop_all(self):
        for running in self.runs:
            if running.alive():
                running.signal(signal.SIGCONT)
                running.kill()

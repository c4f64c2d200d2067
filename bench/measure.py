# SPDX-License-Identifier: Apache-2.0
"""Running a candidate and measuring it: time, CPU, memory, and how disturbed the machine was."""

import dataclasses
import hashlib
import os
import statistics
import threading
import time

import psycopg

TICK = os.sysconf("SC_CLK_TCK")
CALIBRATION_BYTES = 16 << 20


@dataclasses.dataclass
class Sample:
    """One run of one candidate."""

    rows: int
    seconds: float            # exec to exit (or to the last row in the target)
    cpu: float = 0.0          # CPU-seconds of the candidate's process
    rss: int = 0              # its greatest resident size in bytes
    steady_seconds: float = 0.0   # first byte in the target to the end; 0 = not known
    foreign: float = 0.0      # CPU-seconds a second taken by others than candidate and servers
    calibration: float = 0.0  # MB/s of a fixed loop just before

    @property
    def rate(self):
        return self.rows / self.seconds

    @property
    def steady_rate(self):
        return self.rows / self.steady_seconds if self.steady_seconds else 0.0

    @property
    def cpu_per_million(self):
        return self.cpu / self.rows * 1e6


def calibrate():
    """Speed of one core right now, in MB/s of SHA-256."""
    block = bytes(CALIBRATION_BYTES)
    begin = time.perf_counter()
    hashlib.sha256(block).digest()
    return CALIBRATION_BYTES / 1e6 / (time.perf_counter() - begin)


def busy_seconds():
    """CPU-seconds the whole machine has been busy (steal included) since it started."""
    with open("/proc/stat") as stat:
        ticks = [int(n) for n in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICK


def _stat(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[1]), sum(int(n) for n in fields[11:15]) / TICK


def tree_seconds(*roots):
    """CPU-seconds of these processes, their children, and the children they have waited for."""
    seen = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                seen[int(name)] = _stat(name)
            except OSError:
                continue
    total = 0.0
    for pid, (_, seconds) in seen.items():
        at = pid
        while at not in roots and at in seen and at > 1:
            at = seen[at][0]
        total += seconds if at in roots else 0.0
    return total


class Disturbance:
    """with Disturbance(server pids) as d: … ; d.finish(own CPU-seconds, seconds) -> foreign load."""

    def __init__(self, *servers):
        self.servers = servers

    def __enter__(self):
        self.calibration = calibrate()
        self.busy, self.served = busy_seconds(), tree_seconds(*self.servers)
        self.own, self.begin = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.begin
        self.busy = busy_seconds() - self.busy
        self.served = tree_seconds(*self.servers) - self.served
        self.own = time.process_time() - self.own

    def into(self, sample):
        rest = self.busy - self.served - self.own - sample.cpu
        sample.foreign = max(0.0, rest / self.seconds)
        sample.calibration = self.calibration
        return sample


class FirstByte:
    """Watches a table from outside; .at = perf_counter() when it first held a page."""

    def __init__(self, connection, table, interval=0.005):
        self.connection, self.table, self.interval = connection, table, interval
        self.at = None
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        query = f"SELECT pg_relation_size('{self.table}') > 0"
        while not self.stopped.wait(self.interval):
            try:
                filled = self.connection.execute(query).fetchone()[0]
            except psycopg.Error:  # the server stops: the run has failed elsewhere
                return
            if filled:
                self.at = time.perf_counter()
                return

    def stop(self):
        self.stopped.set()
        self.thread.join()
        self.connection.close()
        return self.at


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _spread(values, digits=2):
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(rounds, base):
    """Text table of {name: [Sample of each round]}; ratios are to base, in the same round."""
    lines = [f"{'candidate':<18}{'k rows/s':>9}{'steady':>8}{'cpu s/M':>9}{'RSS MB':>8}"
             f"{'foreign':>9}  ratio to {base}, median (range, n)"]
    for name, samples in rounds.items():
        median = {f: statistics.median(getattr(s, f) for s in samples)
                  for f in ("rate", "steady_rate", "cpu_per_million", "rss", "foreign")}
        ratios = [s.rate / b.rate for s, b in zip(samples, rounds[base])]
        lines.append(f"{name:<18}{median['rate'] / 1e3:>9.0f}{median['steady_rate'] / 1e3:>8.0f}"
                     f"{median['cpu_per_million']:>9.2f}{median['rss'] / 1e6:>8.0f}"
                     f"{median['foreign']:>9.2f}  {_spread(ratios)}, n={len(ratios)}")
    loops = [s.calibration for samples in rounds.values() for s in samples]
    lines.append(f"calibration loop: {_spread(loops, 0)} MB/s; foreign = cores taken by others")
    return "\n".join(lines)

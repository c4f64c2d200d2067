# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that breaks things on purpose: cut, freeze, refuse, and COMMITs (of PostgreSQL and MariaDB) whose
answer is lost or that arrive late."""

import re
import socket
import struct
import threading
import time

CHUNK = 256 * 1024
CODE_PROTOCOL_3 = 196608
COMMIT = re.compile(rb"\b(commit|end)\s*;?\s*\0?\s*$", re.I)
FAULTS = ("swallow", "late", "drop", "half_open")


class PostgresStream:
    """Splits what a client sends into messages; says where a COMMIT begins and ends."""

    def __init__(self):
        self.started = False
        self.buffer = b""
        self.skip = 0

    def feed(self, data):
        """Yields (bytes to forward, is_commit); every byte fed comes out once, in order."""
        data = self.buffer + data
        self.buffer = b""
        at = begin = 0
        while at < len(data):
            if self.skip:
                step = min(self.skip, len(data) - at)
                self.skip -= step
                at += step
                continue
            head = 5 if self.started else 4
            if len(data) - at < head:
                break
            size = struct.unpack_from("!i", data, at + head - 4)[0] + head - 4
            kind = data[at:at + 1] if self.started else b""
            if kind in (b"Q", b"P") or not self.started:
                if len(data) - at < size:
                    break
                message = data[at:at + size]
                if not self.started:
                    self.started = struct.unpack_from("!i", message, 4)[0] == CODE_PROTOCOL_3
                elif self._is_commit(kind, message[5:]):
                    if at > begin:
                        yield data[begin:at], False
                    yield message, True
                    begin = at + size
                at += size
            else:
                self.skip = size
        if at > begin:
            yield data[begin:at], False
        self.buffer = data[at:]

    @staticmethod
    def _is_commit(kind, body):
        if kind == b"P":
            parts = body.split(b"\0")
            return len(parts) > 1 and bool(COMMIT.search(parts[1]))
        return bool(COMMIT.search(body))


class MariadbStream:
    """A COMMIT is a packet of its own: its client waits for what came before to be answered."""

    COMMIT = b"\x07\0\0\0\x03COMMIT"

    def feed(self, data):
        yield data, data == self.COMMIT


class Connection:
    """One client and its server connection, a thread for each direction."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = socket.create_connection(proxy.target)
        for s in (self.client, self.server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.mute = False
        self.answered = threading.Event()
        for job in (self._upward, self._downward):
            threading.Thread(target=job, daemon=True).start()

    def close(self, side=None):
        """Resets one side or both; shutdown wakes the thread that waits in recv."""
        for s in [side] if side else [self.client, self.server]:
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def _upward(self):
        stream = self.proxy.stream() if self.proxy.stream else None
        try:
            while data := self.client.recv(CHUNK):
                self.proxy.running.wait()
                for part, is_commit in stream.feed(data) if stream else [(data, False)]:
                    if is_commit and self.proxy.take_fault():
                        return self._commit_fault(part)
                    self.server.sendall(part)
            self.close()
        except OSError:
            self.close()

    def _downward(self):
        try:
            while data := self.server.recv(CHUNK):
                if self.mute:
                    self.answered.set()
                    continue
                self.proxy.spend(len(data))
                self.proxy.running.wait()
                self.client.sendall(self.proxy.rewrite(data))
            self.answered.set()
            self.close()
        except OSError:
            self.answered.set()
            self.close()

    def _commit_fault(self, message):
        """The server gets the COMMIT (now, late, or never); the client sees a lost connection."""
        self.mute = True
        if self.proxy.fault == "half_open":
            self.close(self.client)
            self.proxy.connections.append(self)
            return
        if self.proxy.fault != "drop":
            if self.proxy.fault == "late":
                self.close(self.client)
                time.sleep(self.proxy.delay)
            self.server.sendall(message)
            self.answered.wait(10)
        self.close()


class Proxy:
    """Listens on 127.0.0.1:port and forwards to target (host, port)."""

    def __init__(self, host, port, *, postgres=False, mariadb=False):
        self.target = (host, port)
        self.stream = PostgresStream if postgres else MariadbStream if mariadb else None
        self.running = threading.Event()
        self.running.set()
        self.fault, self.every, self.left, self.delay = "swallow", 1, 0, 0.25
        self.seen = self.cut_commits = 0
        self.lock = threading.Lock()
        self.connections = []
        self.budget = None
        self.refusing = False
        self.rewrite = lambda data: data  # of what the server says
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.refusing:
                    client.close()
                else:
                    self.connections.append(Connection(self, client))
            except OSError:
                client.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.running.set()
        self.cut()

    def cut(self):
        """Resets every open connection on both sides."""
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.close()

    def freeze(self):
        """Stops forwarding; connections stay open and silent."""
        self.running.clear()

    def freeze_after(self, size):
        """Freezes once so many bytes went to clients, which is a moment that no machine's speed moves."""
        self.budget = size

    def spend(self, size):
        with self.lock:
            if self.budget is None:
                return
            self.budget -= size
            if self.budget < 0:
                self.budget = None
                self.freeze()

    def frozen(self):
        return not self.running.is_set()

    def thaw(self):
        self.running.set()

    def refuse(self, on=True):
        """New connections are closed at once while on."""
        self.refusing = on

    def break_commits(self, count, fault="swallow", every=1, delay=0.25):
        """The next count COMMITs, taking each every-th one, meet a fault of FAULTS:
        swallow = executed but the answer never arrives; late = the client is cut first and the
        COMMIT reaches the server delay seconds after; drop = cut, and it never arrives;
        half_open = it never arrives and the server still believes in the connection."""
        if fault not in FAULTS:
            raise ValueError(fault)
        with self.lock:
            self.fault, self.left, self.every, self.delay = fault, count, every, delay
            self.seen = self.cut_commits = 0

    def take_fault(self):
        with self.lock:
            self.seen += 1
            if self.left <= 0 or self.seen % self.every:
                return False
            self.left -= 1
            self.cut_commits += 1
            return True

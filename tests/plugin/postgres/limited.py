# SPDX-License-Identifier: Apache-2.0
"""A server that speaks the PostgreSQL protocol and refuses some statements: a real server behind a filter, so that what it does
accept is really done."""

import re
import socket
import struct
import threading


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def error(state, text):
    return message(b"E", b"SERROR\0VERROR\0C" + state.encode() + b"\0M" + text.encode() + b"\0\0")


class Session:
    """One client connection and its server connection."""

    def __init__(self, owner, client):
        self.owner, self.client = owner, client
        self.server = socket.create_connection(owner.target)
        self.ready = b"I"
        self.until_sync = False
        for job in (self._up, self._down):
            threading.Thread(target=self._guard, args=(job,), daemon=True).start()

    def _guard(self, job):
        try:
            job()
        except (OSError, EOFError):
            pass
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def _exactly(s, n):
        data = b""
        while len(data) < n:
            part = s.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _startup(self):
        while True:
            size, code = struct.unpack("!ii", self._exactly(self.client, 8))
            rest = self._exactly(self.client, size - 8)
            if code == 196608:
                self.server.sendall(struct.pack("!ii", size, code) + rest)
                return
            self.client.sendall(b"N")  # no TLS

    def _refuse(self, kind, text):
        for pattern, state in self.owner.rules:
            if re.search(pattern, text, re.I):
                self.owner.refused.append(text)
                if state == "OK":  # says that it did it
                    self.client.sendall(message(b"C", text.split()[0].upper().encode() + b"\0") +
                                        message(b"Z", self.ready))
                    return True
                answer = error(state, "this server does not do that")
                if kind == b"Q":
                    answer += message(b"Z", self.ready)
                else:
                    self.until_sync = True
                self.client.sendall(answer)
                return True
        return False

    def _up(self):
        self._startup()
        while True:
            kind = self._exactly(self.client, 1)
            size, = struct.unpack("!i", self._exactly(self.client, 4))
            body = self._exactly(self.client, size - 4)
            if self.until_sync and kind in b"PBDEHS":
                if kind == b"S":
                    self.until_sync = False
                    self.client.sendall(message(b"Z", self.ready))
                continue
            parts = body.split(b"\0")
            text = (parts[0] if kind == b"Q" else parts[1] if kind == b"P" else b"").decode()
            if text and self._refuse(kind, text):
                continue
            self.server.sendall(kind + struct.pack("!i", size) + body)

    def _down(self):
        while True:
            head = self._exactly(self.server, 5)
            body = self._exactly(self.server, struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"Z":
                self.ready = body
            self.client.sendall(head + body)


class Limited:
    """rules: (regular expression of the statement, SQLSTATE, or OK: it is not done, but said to be)."""

    def __init__(self, port, rules):
        self.target, self.rules, self.refused = ("127.0.0.1", port), rules, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                Session(self, self.listener.accept()[0])
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

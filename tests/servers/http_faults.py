# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that passes requests on and spoils the answers of INSERTs on purpose."""

import http.client
import struct
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What the client sees; all but NEVER_EXECUTED are executed by the server.
FAULTS = ("lost",      # the connection is reset in place of the answer
          "late",      # the answer comes after the client's deadline
          "half",      # the answer's length promises more than comes
          "dropped",   # the connection is reset when the request has come
          "cut",       # the connection is reset in the middle of the request's body
          "hang",      # no answer at all, the connection stays
          "500", "503", "429",   # a proxy answers for the server
          "241", "252", "319")   # ClickHouse refuses: memory, too many parts; knows not what became
NEVER_EXECUTED = ("dropped", "cut", "hang", "241", "252")

ERRORS = {"241": "Memory limit (total) exceeded", "252": "Too many parts (300)",
          "319": "Unknown status of the insert"}
# What a client says of each, as a regular expression.
GONE = r"reset|closed|Send failure|Recv failure|Empty reply|Broken pipe"
SHOWN = {"lost": GONE, "dropped": GONE, "cut": GONE, "late": "timed out", "hang": "timed out",
         "half": "closed with|remaining|transfer closed",
         **{code: f"HTTP {code}" for code in ("500", "503", "429")},
         **{code: rf"{text.split(' (')[0]}.*code {code}" for code, text in ERRORS.items()}}


class HttpFaults:
    """A proxy to 127.0.0.1:port; spoil(n, fault, every) breaks INSERTs to come."""

    def __init__(self, port):
        self.target, self.left, self.fault, self.every, self.seen = port, 0, None, 1, 0
        self.lock, self.requests = threading.Lock(), []
        self.delay = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.handle(self)

            do_POST = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that have gone
        self.server.block_on_close = False
        self.port = self.server.server_address[1]
        self.ended = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def spoil(self, count, fault, every=1):
        assert fault in FAULTS
        with self.lock:
            self.left, self.fault, self.every, self.seen = count, fault, every, 0

    def _take(self, path):
        with self.lock:
            if not self.left or "INSERT" not in path:
                return None
            self.seen += 1
            if self.seen % self.every:
                return None
            self.left -= 1
            return self.fault

    @staticmethod
    def _reset(client):
        """Closed with unread bytes, or without lingering: the client's side gets a reset."""
        linger = struct.pack("ii", 1, 0)
        client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close_connection = True
        client.wfile.flush()
        client.connection.shutdown(socket.SHUT_RDWR)

    def _pass(self, client, body):
        server = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        headers = {k: v for k, v in client.headers.items() if k.lower() != "host"}
        server.request(client.command, client.path, body, headers)
        answer = server.getresponse()
        text = answer.read()
        server.close()
        return answer, text

    @staticmethod
    def _answer(client, status, text, headers=(), more=0):
        client.send_response(status)
        for name, value in headers:
            client.send_header(name, value)
        client.send_header("Content-Length", str(len(text) + more))
        client.end_headers()
        client.wfile.write(text)
        client.close_connection = client.close_connection or bool(more)

    def handle(self, client):
        fault = self._take(client.path)
        length = int(client.headers.get("Content-Length") or 0)
        body = client.rfile.read(length // 2 if fault == "cut" else length)
        self.requests.append((client.path, length))
        if fault in ("dropped", "cut"):
            return self._reset(client)
        if fault == "hang":
            client.close_connection = True
            return self.ended.wait(60)  # the client goes before
        if fault in ERRORS and fault in NEVER_EXECUTED:
            return self._refuse(client, fault)
        answer, text = self._pass(client, body)
        if fault == "lost":
            return self._reset(client)
        if fault in ERRORS:
            return self._refuse(client, fault)
        if fault == "late":
            time.sleep(self.delay)
        if fault in ("500", "503", "429"):
            return self._answer(client, int(fault), b"upstream has gone")
        keep = [(name, value) for name, value in answer.getheaders() if name.lower() not in (
            "content-length", "transfer-encoding", "connection", "server", "date")]
        return self._answer(client, answer.status, text, keep, 100 * (fault == "half"))

    def _refuse(self, client, code):
        text = f"Code: {code}. DB::Exception: {ERRORS[code]}. (version 26.9)\n"
        self._answer(client, 500, text.encode(), [("X-ClickHouse-Exception-Code", code)])

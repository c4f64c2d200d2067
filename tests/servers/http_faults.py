# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that passes requests on and spoils the answers of INSERTs on purpose."""

import http.client
import struct
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What the client sees; all but those that say so are executed by the server.
FAULTS = ("lost",      # the connection is reset in place of the answer
          "late",      # executed, the answer comes after the client's deadline
          "half",      # the answer's length promises more than comes
          "dropped",   # never executed, the connection is reset
          "500", "503", "429")  # executed, but the answer says otherwise


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
                outer.handle(self, b"")

            def do_POST(self):
                outer.handle(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
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

    def handle(self, client, body):
        self.requests.append((client.path, len(body)))
        fault = self._take(client.path)
        if fault == "dropped":
            return self._reset(client)
        answer, text = self._pass(client, body)
        if fault == "lost":
            return self._reset(client)
        if fault == "late":
            time.sleep(self.delay)
        status, length = answer.status, len(text)
        if fault in ("500", "503", "429"):
            status, text = int(fault), b"upstream has gone"
            length = len(text)
        client.send_response(status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server",
                                    "date"):
                client.send_header(name, value)
        client.send_header("Content-Length", str(length + 100 * (fault == "half")))
        client.end_headers()
        client.wfile.write(text)
        if fault == "half":
            client.close_connection = True

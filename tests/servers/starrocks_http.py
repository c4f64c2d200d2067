# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of the StarRocks stand-in: FE redirects without reading a body, BE loads."""

import base64
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

STEPS = ("begin", "load", "prepare", "commit", "rollback")
CLOSED_PORT = 1  # nobody listens on tcpmux


class Dropped(Exception):
    """The connection ends without an answer."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    role, world = "fe", None

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        return True  # the answer to Expect is ours to give

    # ---- reading
    def _body(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        n = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(n)
        if len(data) != n:
            raise Dropped
        return data

    def _chunks(self):
        parts = []
        while True:
            line = self.rfile.readline()
            if not line:
                raise Dropped
            n = int(line.split(b";")[0], 16)
            parts.append(self.rfile.read(n))
            self.rfile.readline()
            if not n:
                return b"".join(parts)

    def _user(self):
        """The user whose Basic authorization is right, or None."""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user if self.world.users.get(user) == password else None

    # ---- answering
    def _send(self, status, body, extra=(), close=False, half=False):
        data = body if isinstance(body, bytes) else json.dumps(body, indent=4).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in extra:
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(data[:len(data) // 2] if half else data)
        self.wfile.flush()
        self.request_note["status"] = status
        if half:
            raise Dropped

    def _redirect(self, port):
        place = urllib.parse.urlsplit(self.path)
        where = f"{self.world.scheme}://{self.world.be_host}:{port}{place.path}"
        if place.query:
            where += f"?{place.query}"
        self._send(307, b"", [("Location", where)], close=True)

    def _drop(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # ---- requests
    def do_PUT(self):
        self._handle("PUT")

    def do_POST(self):
        self._handle("POST")

    def do_GET(self):
        self._handle("GET")

    def _parse(self):
        place = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(place.query))
        found = re.fullmatch(r"/api/transaction/(\w+)", place.path)
        if found and found[1] in STEPS:
            return found[1], self.headers.get("db"), self.headers.get("label"), query
        found = re.fullmatch(r"/api/([^/]+)/([^/]+)/_stream_load", place.path)
        if found:
            self.table = urllib.parse.unquote(found[2])
            return "put", urllib.parse.unquote(found[1]), self.headers.get("label"), query
        found = re.fullmatch(r"/api/([^/]+)/get_load_state", place.path)
        if found:
            return "state", urllib.parse.unquote(found[1]), query.get("label"), query
        if place.path == "/api/_load_error_log":
            return "error_log", None, None, query
        return None, None, None, query

    def _handle(self, method):
        step, database, label, query = self._parse()
        self.request_note = {"server": self.role, "method": method, "path": self.path, "step": step,
                             "label": label, "status": None, "headers": dict(self.headers.items()),
                             "at": time.monotonic()}
        with self.world.lock:
            self.world.requests.append(self.request_note)
        try:
            getattr(self, f"_{self.role}")(method, step, database, label, query)
        except (Dropped, ConnectionError, OSError):
            self._drop()

    def _fault(self, fault, apply, answer_of):
        """Carries a fault out; apply() does the work and gives the answer."""
        action = fault.action
        if action in ("hang", "slow"):
            time.sleep(fault.delay)
        if action in ("hang", "drop_before"):
            raise Dropped
        if action == "drop_after":
            apply()
            raise Dropped
        if action == "late":
            threading.Timer(fault.delay, apply).start()
            raise Dropped
        if action == "http_after":
            apply()
        if action in ("http", "http_after"):
            return self._send(fault.status, b"<html>an error</html>", close=True)
        if action == "fail_after":
            apply()
        if action in ("fail", "fail_after"):
            return self._send(200, answer_of({"Status": fault.text, "Message": fault.message}))
        return self._send(200, apply(), half=action == "half")

    # ---- FE: no body is read, and the connection is closed after a load request
    def _fe(self, method, step, database, label, query):
        world = self.world
        fault = world.take_fault("fe")
        if fault and fault.action == "slow":
            time.sleep(fault.delay)
        elif fault and fault.action == "unreachable":
            return self._redirect(CLOSED_PORT)
        elif fault:
            return self._fault(fault, lambda: {}, dict)
        if step is None or (step in STEPS and not world.transactions):
            return self._send(404, {"status": "FAILED", "msg": "Not Found"}, close=True)
        if not self._user():
            return self._send(401, {"Status": "FAILED", "Message": "Access denied for "
                                    f"{self.headers.get('Authorization', 'nobody')[:5]}"}, close=True)
        if step == "state":
            return self._state(database, label)
        if method == "PUT" and self.headers.get("Expect", "").lower() != "100-continue":
            return self._send(200, {"Status": "FAILED", "Message":
                                    "class com.starrocks.common.DdlException: "
                                    "There is no 100-continue header"}, close=True)
        if world.is_multi(self.headers) and step in STEPS and step != "load":
            return self._carry_out(step, self._body())
        if step in ("commit", "rollback"):
            with world.lock:
                txn = world.txn(database, label)
            if txn and txn.state != "PREPARE":
                return self._carry_out(step, b"")
        self._redirect(world.be.port)

    def _state(self, database, label):
        fault = self.world.take_fault("state")

        def apply():
            return self.world.label_state(database, label)
        return self._fault(fault, apply, dict) if fault else self._send(200, apply())

    def _carry_out(self, step, body):
        world, headers = self.world, dict(self.headers.items())
        fault = world.take_fault(step)

        def apply():
            return world.transaction(step, headers, body)
        if fault and fault.action == "exists":
            return self._send(200, world.plant(step, headers, headers["db"], headers["table"], body,
                                               fault.text, fault.delay))
        if fault:
            return self._fault(fault, apply, lambda a: {"Label": headers.get("label"), **a})
        self._send(200, apply())

    # ---- BE: always HTTP 200
    def _be(self, method, step, database, label, query):
        world = self.world
        if step == "error_log":
            return self._error_log(query)
        if not self._user():
            return self._send(200, {"Status": "FAILED" if step in STEPS else "Fail",
                                    "Message": "no valid Basic authorization"}, close=True)
        body = self._body()
        if step in STEPS and step != "load" and world.is_multi(self.headers):
            return self._send(200, {"Status": "FAILED", "Message": "transaction_type is not supported"})
        if step in STEPS:
            return self._carry_out(step, body)
        if step != "put":
            return self._send(404, b"Not Found")
        fault = world.take_fault("put")
        headers = dict(self.headers.items())

        def apply():
            return world.put(database, self.table, headers, body)
        if fault and fault.action == "publish_timeout":
            return self._send(200, {**apply(), "Status": "Publish Timeout"})
        if fault and fault.action == "exists":
            return self._send(200, world.plant("put", headers, database, self.table, body, fault.text,
                                               fault.delay))
        if fault:
            return self._fault(fault, apply, lambda a: {"Label": label, **a})
        self._send(200, apply())

    def _error_log(self, query):
        fault = self.world.take_fault("error_log")
        text = self.world.errors.get(query.get("file"))

        def apply():
            return (text or "").encode()
        if fault:
            return self._fault(fault, apply, dict)
        self._send(200 if text else 404, apply())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # a client that goes away is no news

    def stop(self):
        self.shutdown()
        self.server_close()


def start_http(world, role):
    """A running server on a free loopback port; .port, .stop()."""
    handler = type(f"{role.upper()}Handler", (Handler,), {"role": role, "world": world})
    server = Server(("127.0.0.1", 0), handler)
    server.port = server.server_address[1]
    if world.tls:  # the handshake belongs to the connection's thread
        server.socket = world.tls.wrap_socket(server.socket, server_side=True,
                                              do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server

# SPDX-License-Identifier: Apache-2.0
"""Today's ClickHouse engine behind a port of HTTP: chdb embeds it and has no server of its own.

usage: chdb_front.py PORT FOLDER

Takes what a client sends: the query in the URL, the body, or both; settings as parameters of the
URL; bodies in ClickHouse's own compressed frames (decompress=1) or with a Content-Encoding. One
query at a time. No users, no buffering: those are not tested here."""

import gzip
import pathlib
import re
import struct
import sys
import threading
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlparse

from chdb import session

NO_SETTINGS = {"query", "database", "user", "password", "default_format", "query_id", "session_id",
               "wait_end_of_query", "compress", "decompress", "enable_http_compression",
               "buffer_size", "client_protocol_version", "role", "session_timeout", "session_check",
               "http_native_compression_disable_checksumming_on_decompress"}
NOT_FOUND = {46, 60, 81, 82, 115}
INSERT = re.compile(rb"(\s*insert\s+into\s.*?)\bformat\s+(\w+)[ \t]*;?\r?\n?", re.I | re.S)
FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.I)


def frames(data):
    """The contents of compressed frames: checksum, method, two lengths, bytes."""
    import lz4.block
    import zstandard
    out, at = [], 0
    while at < len(data):
        method, packed, raw = struct.unpack_from("<BII", data, at + 16)
        body = data[at + 25:at + 16 + packed]
        if method == 0x82:
            out.append(lz4.block.decompress(body, uncompressed_size=raw))
        elif method == 0x90:
            out.append(zstandard.ZstdDecompressor().decompress(body, max_output_size=raw))
        else:
            raise ValueError(f"Code: 89. unknown compression method {method:#x}")
        at += 16 + packed
    return b"".join(out)


def decoded(encoding, data):
    if encoding == "gzip":
        return gzip.decompress(data)
    if encoding == "deflate":
        return zlib.decompress(data)
    if encoding == "lz4":
        import lz4.frame
        return lz4.frame.decompress(data)
    if encoding == "zstd":
        import zstandard
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    if encoding:
        raise ValueError(f"Content-Encoding {encoding}")
    return data


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    engine, body, lock = None, None, threading.Lock()

    def log_message(self, *_):
        pass

    def _chunks(self):
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            yield self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, code, body, **headers):
        self.send_response(code)
        shown = {"Content-Length": len(body), "X-ClickHouse-Server-Display-Name": "chdb",
                 "X-ClickHouse-Timezone": "UTC",
                 **{name.replace("_", "-"): value for name, value in headers.items()}}
        for name, value in shown.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def _insert(self, found, query, query_id):
        """By way of a file: chdb's streaming insert swallows what fails while it writes."""
        self.body.write_bytes(query[found.end():])
        statement = found[1].decode(), found[2].decode()
        self.engine.query(f"{statement[0]} FROM INFILE '{self.body}' FORMAT {statement[1]}")
        self._answer(200, b"", X_ClickHouse_Query_Id=query_id)

    def _select(self, query, parameters, query_id):
        name = parameters.get("default_format") or self.headers.get("X-ClickHouse-Format")
        name, found = name or "TabSeparated", FORMAT.search(query[:20000])
        if found and not re.match(rb"\s*insert", query, re.I):
            name, query = found[1].decode(), query[:found.start()]
        given = {k[6:]: v for k, v in parameters.items() if k.startswith("param_")}
        result = self.engine.query(query, name, **({"params": given} if given else {}))
        self._answer(200, result.bytes() or b"", X_ClickHouse_Query_Id=query_id,
                     X_ClickHouse_Format=name)

    def _run(self, query, parameters):
        query_id, done = parameters.get("query_id") or str(uuid.uuid4()), []
        database = parameters.get("database") or self.headers.get("X-ClickHouse-Database")
        try:
            self.engine.query(f"USE `{database or 'default'}`")
            for name, value in parameters.items():
                if name in NO_SETTINGS or name.startswith("param_"):
                    continue
                value = value.replace("\\", "\\\\").replace("'", "\\'")
                self.engine.query(f"SET {name}='{value}'")
                done.append(name)
            found = INSERT.match(query)
            if found and found[2].lower() != b"values":
                self._insert(found, query, query_id)
            else:
                self._select(query, parameters, query_id)
        except Exception as e:
            text = str(e)
            code = re.search(r"Code: (\d+)", text)
            code = int(code[1]) if code else 1002
            self._answer(404 if code in NOT_FOUND else 500, (text + "\n").encode(),
                         X_ClickHouse_Exception_Code=code, X_ClickHouse_Query_Id=query_id)
        finally:
            for name in done:
                self.engine.query(f"SET {name}=DEFAULT")

    def do_POST(self):
        url = urlparse(self.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self._body()
        if url.path == "/ping" or (not url.query and self.command == "GET"):
            self._answer(200, b"Ok.\n")
            return
        try:
            body = decoded(self.headers.get("Content-Encoding", ""), body)
            if parameters.get("decompress") == "1":
                body = frames(body)
        except Exception as e:
            self._answer(400, f"Code: 271. {e}\n".encode(), X_ClickHouse_Exception_Code=271)
            return
        query = parameters.get("query", "").encode()
        with self.lock:
            self._run(query + b"\n" + body if query else body, parameters)

    do_GET = do_POST


def main():
    Handler.body = pathlib.Path(f"{sys.argv[2]}.body")
    Handler.engine = session.Session(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()

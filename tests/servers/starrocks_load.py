# SPDX-License-Identifier: Apache-2.0
"""A load's body -> operations on a table, as the headers of Stream Load say."""

import decimal
import json
import struct

from .starrocks_table import Refused

CSV_NULL = "\\N"


def separator(text, default):
    r"""Separators come as they are, or as \x01."""
    if text is None:
        return default
    return text.encode().decode("unicode_escape") if text.startswith("\\") else text


def lz4_frame(data):
    """The content of LZ4 frames; checksums are not looked at."""
    out = bytearray()
    while data:
        if data[:4] != b"\x04\x22\x4d\x18":
            raise Refused("not an LZ4 frame")
        flags = data[4]
        at = 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
        start = len(out)
        while True:
            size, = struct.unpack_from("<I", data, at)
            at += 4
            if not size:
                break
            block = data[at:at + (size & 0x7fffffff)]
            at += len(block) + (4 if flags & 16 else 0)
            if size >> 31:
                out += block
            else:
                lz4_block(block, out, start)
        data = data[at + (4 if flags & 4 else 0):]
    return bytes(out)


def _length(block, at, n):
    if n == 15:
        while True:
            n += block[at]
            at += 1
            if block[at - 1] != 255:
                break
    return n, at


def lz4_block(block, out, start):
    at = 0
    while at < len(block):
        token = block[at]
        n, at = _length(block, at + 1, token >> 4)
        out += block[at:at + n]
        at += n
        if at >= len(block):
            return
        back, = struct.unpack_from("<H", block, at)
        n, at = _length(block, at + 2, token & 15)
        n += 4
        where = len(out) - back
        if where < start:
            raise Refused("LZ4 block points before its frame")
        if back >= n:
            out += out[where:where + n]
        else:
            for i in range(n):
                out.append(out[where + i])


def unpacked(headers, body):
    kind = (headers.get("compression") or headers.get("Content-Encoding") or "").lower()
    if kind in ("", "identity"):
        return body
    if kind == "lz4_frame":
        return lz4_frame(body)
    if kind == "gzip":
        import gzip
        return gzip.decompress(body)
    if kind == "zstd":
        return zstd(body)
    raise Refused(f"unknown compression type: {kind}")


def zstd(data):
    """By libzstd: the standard library has no zstd."""
    import ctypes
    import ctypes.util
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    for call in ("ZSTD_getFrameContentSize", "ZSTD_decompress", "ZSTD_findFrameCompressedSize"):
        getattr(library, call).restype = ctypes.c_size_t
    out = b""
    while data:
        n = library.ZSTD_findFrameCompressedSize(data, ctypes.c_size_t(len(data)))
        size = library.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
        if library.ZSTD_isError(ctypes.c_size_t(n)) or size >= 1 << 40:
            raise Refused("zstd frame without size, or damaged")
        room = ctypes.create_string_buffer(size or 1)
        got = library.ZSTD_decompress(room, ctypes.c_size_t(size), data, ctypes.c_size_t(n))
        if got != size:
            raise Refused("damaged zstd frame")
        out += room.raw[:size]
        data = data[n:]
    return out


class Load:
    """What one body holds: operations in order, and the rows that were filtered."""

    def __init__(self, table, headers, body, filters=None):
        self.table, self.headers, self.filters = table, headers, filters
        self.operations, self.filtered, self.total = [], [], 0
        self.strict = headers.get("strict_mode", "false").lower() == "true"
        self.partial = headers.get("partial_update", "false").lower() == "true"
        if self.partial and not table.primary:
            raise Refused("Only primary key table support partial update")
        body = unpacked(headers, body)
        if headers.get("format", "csv").lower() == "json":
            self._json(body)
        else:
            self._csv(body)

    @staticmethod
    def _names(text):
        return [c.strip(" `") for c in text.split(",")] if text else None

    def _json(self, body):
        most = 100 << 20
        if len(body) > most and self.headers.get("ignore_json_size", "false") != "true":
            raise Refused("The size of this batch exceed the max size [104857600] of json type data")
        try:
            rows = json.loads(body, parse_float=decimal.Decimal)
        except ValueError as e:
            raise Refused(f"parse json failed: {e}") from e
        array = self.headers.get("strip_outer_array", "false").lower() == "true"
        if array and not isinstance(rows, list):
            raise Refused("JSON Array needed when strip_outer_array is true")
        if not array and isinstance(rows, list):
            raise Refused("The value is array type in json document stream, you can set "
                          "strip_outer_array=true to parse each element of the array as "
                          "individual rows")
        names = self._names(self.headers.get("columns"))
        texts = json_elements(body.decode()) if array else [body.decode()]
        for row, text in zip(rows if array else [rows], texts):
            if names:
                row = {k: v for k, v in row.items() if k in names}
            self._row(row, text)

    def _csv(self, body):
        between = separator(self.headers.get("column_separator"), "\t")
        end = separator(self.headers.get("row_delimiter"), "\n")
        text = body.decode()
        names = self._names(self.headers.get("columns")) or [c.name for c in self.table.columns]
        for line in text.removesuffix(end).split(end) if text else []:
            values = [None if v == CSV_NULL else v for v in line.split(between)]
            if len(values) != len(names):
                self.total += 1
                self.filtered.append((f"Value count does not match column count. Expect "
                                      f"{len(names)}, but got {len(values)}", line))
                continue
            self._row(dict(zip(names, values)), line)

    def _row(self, given, text):
        self.total += 1
        given = dict(given)
        deleted = str(given.pop("__op", 0)).lower() in ("1", "delete")
        row = {}
        try:
            for column in self.table.columns:
                if deleted and column.name not in self.table.key:
                    continue
                if column.name not in given and (self.partial or column.nullable):
                    if not self.partial:
                        row[column.name] = column.default
                    continue
                row[column.name] = self._value(column, given.get(column.name))
            if self.filters and self.filters(row):
                raise Refused("the row is not wanted")
        except Refused as e:
            self.filtered.append((str(e), text))
            return
        self.operations.append((deleted and self.table.primary, row, self.partial))

    def _value(self, column, given):
        try:
            return column.value(given)
        except Refused:
            if self.strict or not column.nullable:
                raise
            return None  # the silent NULL of strict_mode false


def json_elements(text):
    """The text of each element of an array, as the error log shows rows."""
    decoder, at, texts = json.JSONDecoder(), text.index("[") + 1, []
    while True:
        while text[at] in " ,\n\r\t":
            at += 1
        if text[at] == "]":
            return texts
        end = decoder.raw_decode(text, at)[1]
        texts.append(text[at:end])
        at = end

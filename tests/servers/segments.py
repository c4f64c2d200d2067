# SPDX-License-Identifier: Apache-2.0
"""Commit log segments of Cassandra, plain ones: taken apart, and made of what a real node wrote."""

import pathlib
import struct
import zlib

SIZE = 262144  # of a made segment; zeros behind its end, as a node preallocates it


def crc(*parts):
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def number(value):
    return struct.pack(">I", value & 0xFFFFFFFF)


def header(segment, version=7, params=b"{}"):
    check = crc(number(version), number(segment), number(segment >> 32), number(len(params)), params)
    return struct.pack(">iqH", version, segment, len(params)) + params + number(check)


def marker(segment, offset, end):
    return number(end) + number(crc(number(segment), number(segment >> 32), number(offset)))


def entry(mutation):
    size = number(len(mutation))
    return size + number(crc(size)) + mutation + number(crc(size, mutation))


def entries(path):
    """The mutations of a plain segment that a node writes, as far as its markers say."""
    data = pathlib.Path(path).read_bytes()
    if len(data) < 14:
        return
    segment, params = struct.unpack_from(">qH", data, 4)
    at = 14 + params + 4
    while at + 8 <= len(data):
        end, check = struct.unpack_from(">II", data, at)
        if not end or check != crc(number(segment), number(segment >> 32), number(at)):
            return
        p = at + 8
        while p + 12 <= end:
            [size] = struct.unpack_from(">I", data, p)
            if not size:
                break
            yield data[p + 8:p + 8 + size]
            p += 12 + size
        at = end


def mutations(folder, table_id):
    """What a node's segments hold of one table (a UUID) alone, in order."""
    paths = sorted(pathlib.Path(folder).glob("CommitLog-*.log"), key=lambda p: int(p.stem.split("-")[2]))
    return [m for path in paths for m in entries(path) if m[1:17] == table_id.bytes]


NOTHING = b"\x01" + bytes.fromhex("7ad54392bcdd35a684174e047860b377") + bytes(16)  # of system.local


class Directory:
    """A cdc_raw of segments that were made here."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def log(self, segment):
        return self.folder / f"CommitLog-7-{segment}.log"

    def idx(self, segment):
        return self.folder / f"CommitLog-7-{segment}_cdc.idx"

    def write(self, segment, *sections, idx="completed", size=SIZE):
        """Writes a segment, or more of one: each section is a list of mutations. idx: completed; live: as a
        node that writes on; None: no idx; or its text. Returns the offset behind the last section."""
        out = header(segment)
        for section in sections:
            body = b"".join(entry(m) for m in section)
            out += marker(segment, len(out), len(out) + 8 + len(body)) + body
        path = self.log(segment)
        if not path.exists():
            path.write_bytes(bytes(size))
        with open(path, "r+b") as file:
            file.write(out)
        text = {"completed": f"{len(out)}\nCOMPLETED", "live": str(len(out))}.get(idx, idx)
        if text is not None:
            self.idx(segment).write_text(text)
        return len(out)

    def segments(self):
        return sorted(int(p.stem.split("-")[2]) for p in self.folder.glob("CommitLog-*.log"))

    def files(self):
        return sorted(p.name for p in self.folder.iterdir())

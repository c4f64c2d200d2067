# SPDX-License-Identifier: Apache-2.0
"""Drives one sink plugin from Python: its .so by ctypes, its batches by pyarrow.

The structs are those of millrace/plugin.h, written down again; sizes are compared with what the module was built with."""

import ctypes as c
import os
import pathlib
import re

import pyarrow as pa

TREE = pathlib.Path(__file__).resolve().parents[3]
PLUGINS = pathlib.Path(os.environ.get("MILLRACE_TEST_PLUGINS", TREE / "build" / "plugins"))

OK, RETRY, REJECT, BADCONF, FATAL, UNSURE, FENCED = 0, -1, -2, -3, -4, -5, -6
BOOL, INT, REAL, TEXT, CHOICE, BYTES, TIME_MS, GROUP, COLUMNS = range(1, 10)
REQUIRED, MANY, KEYED = 1, 8, 16
INT64_MIN = -2 ** 63


class Error(c.Structure):
    _fields_ = [("size", c.c_uint32), ("native", c.c_int32), ("row", c.c_int64),
                ("retry_ms", c.c_int64), ("batch", c.c_uint64), ("unit_lost", c.c_bool),
                ("unreachable", c.c_bool), ("code", c.c_char * 32), ("option", c.c_char * 96),
                ("msg", c.c_char * 512)]

    @classmethod
    def fresh(cls):
        return cls(size=c.sizeof(cls), row=-1)


class List(c.Structure):
    _fields_ = [("item", c.c_void_p), ("key", c.POINTER(c.c_char_p)), ("n", c.c_size_t)]


class Opt(c.Structure):
    pass


Opt._fields_ = [("name", c.c_char_p), ("type", c.c_uint16), ("flags", c.c_uint16),
                ("offset", c.c_uint32), ("sub_size", c.c_uint32), ("range", c.c_char_p),
                ("dflt", c.c_char_p), ("choices", c.POINTER(c.c_char_p)),
                ("sub", c.POINTER(Opt)), ("doc", c.c_char_p)]


class Position(c.Structure):
    _fields_ = [("len", c.c_uint16), ("token", c.c_uint8 * 62)]

    @classmethod
    def of(cls, value):
        data = value if isinstance(value, bytes) else value.to_bytes(8, "big")
        return cls(len(data), (c.c_uint8 * 62)(*data))

    def value(self):
        return int.from_bytes(bytes(self.token[:self.len]), "big")


class Schema(c.Structure):
    _fields_ = [("words", c.c_void_p * 9)]


class Array(c.Structure):
    _fields_ = [("words", c.c_void_p * 10)]


class Batch(c.Structure):
    _fields_ = [("size", c.c_uint32), ("lane", c.c_uint32), ("schema", c.POINTER(Schema)),
                ("rows", Array), ("upto", Position), ("watermark_us", c.c_int64),
                ("id", c.c_uint64)]


class Mark(c.Structure):
    _fields_ = [("source", c.c_char_p), ("name", c.c_char_p), ("lane", c.c_uint32),
                ("from_", Position), ("upto", Position), ("owner", c.c_uint64),
                ("rows", c.c_uint64), ("run", c.c_uint64), ("state", c.c_void_p),
                ("state_len", c.c_size_t)]


class Unit(c.Structure):
    _fields_ = [("size", c.c_uint32), ("n", c.c_uint32), ("run", c.c_uint64),
                ("pipeline", c.c_char_p), ("sink", c.c_char_p), ("label", c.c_char_p),
                ("mark", c.POINTER(Mark))]


class Reject(c.Structure):
    _fields_ = [("size", c.c_uint32), ("lane", c.c_uint32), ("batch", c.c_void_p),
                ("batch_id", c.c_uint64), ("row", c.c_int64), ("position", c.c_void_p),
                ("data", c.c_void_p), ("len", c.c_size_t), ("code", c.c_char_p),
                ("msg", c.c_char_p), ("column", c.c_char_p)]


LOG = c.CFUNCTYPE(None, c.c_void_p, c.c_int, c.c_char_p)
METRIC = c.CFUNCTYPE(None, c.c_void_p, c.c_char_p, c.c_uint32, c.c_int64)
NOTIFY = c.CFUNCTYPE(None, c.c_void_p)
REJECTS = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Reject))


class Host(c.Structure):
    _fields_ = [("abi", c.c_uint32), ("size", c.c_uint32), ("ctx", c.c_void_p),
                ("wake_fd", c.c_int), ("log", LOG), ("metric", METRIC), ("notify", NOTIFY),
                ("reject", REJECTS), ("rest", c.c_void_p * 22)]


class Open(c.Structure):
    _fields_ = [("size", c.c_uint32), ("instance", c.c_uint32), ("instances", c.c_uint32),
                ("host", c.POINTER(Host)), ("conf", c.c_void_p), ("in_", c.POINTER(Schema)),
                ("want", List), ("pipeline", c.c_char_p), ("stage", c.c_char_p),
                ("memory", c.c_int64), ("bounded", c.c_bool), ("store", c.c_char_p),
                ("new_store", c.c_bool)]


MARK = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Mark))
PUT = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_size_t)
ERR = c.POINTER(Error)
UNIT = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Unit), ERR)
SELF = c.CFUNCTYPE(c.c_int, c.c_void_p, ERR)


class Sink(c.Structure):
    _fields_ = [
        ("size", c.c_uint32), ("delivery", c.c_uint32),
        ("open", c.CFUNCTYPE(c.c_int, c.POINTER(Open), c.POINTER(c.c_void_p), ERR)),
        ("start", SELF),
        ("take", c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.POINTER(c.c_char_p), c.c_size_t,
                             MARK, c.c_void_p, ERR)),
        ("found", c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Mark), c.c_size_t, ERR)),
        ("begin", UNIT),
        ("write", c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Batch), ERR)),
        ("flush", SELF), ("prepare", UNIT), ("commit", UNIT), ("abort", UNIT),
        ("seal", c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Unit), PUT, c.c_void_p, ERR)),
        ("send", c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.c_char_p, c.c_size_t, ERR)),
        ("resolve", c.c_void_p),
        ("evolve", c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Schema), ERR)),
        ("wake", c.c_void_p), ("close", c.CFUNCTYPE(None, c.c_void_p)),
        ("reread", c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(Unit), MARK, c.c_void_p, ERR)),
        ("window", c.CFUNCTYPE(c.c_int64, c.c_void_p)), ("unit_rows", c.c_int64),
        ("unit_bytes", c.c_int64), ("state_bytes", c.c_int64), ("alone", c.c_bool)]


CHECK = c.CFUNCTYPE(c.c_int, c.POINTER(Open), PUT, c.c_void_p, ERR)


class Plugin(c.Structure):
    _fields_ = [("abi", c.c_uint32), ("size", c.c_uint32), ("conf_size", c.c_uint32),
                ("opt_size", c.c_uint32), ("name", c.c_char_p), ("version", c.c_char_p),
                ("license", c.c_char_p), ("summary", c.c_char_p), ("options", c.POINTER(Opt)),
                ("source", c.c_void_p), ("transform", c.c_void_p), ("sink", c.POINTER(Sink)),
                ("validate", c.CFUNCTYPE(c.c_int, c.c_void_p, ERR)), ("check", CHECK),
                ("discover", c.CFUNCTYPE(c.c_int, c.POINTER(Open), c.c_char_p, PUT, c.c_void_p,
                                         ERR)),
                ("explain", c.c_void_p), ("flags", c.c_uint32), ("ddl", c.c_void_p), ("type", c.c_void_p),
                ("choose", c.CFUNCTYPE(c.c_void_p, c.c_void_p))]


class Failure(Exception):
    """A call of the plugin that answered with a negative status."""

    def __init__(self, call, status, err):
        self.call, self.status = call, status
        self.code, self.msg = err.code.decode(), err.msg.decode()
        self.option, self.row, self.batch = err.option.decode(), err.row, err.batch
        self.unit_lost, self.unreachable = err.unit_lost, err.unreachable
        super().__init__(f"{call}: status {status}, code {self.code!r}: {self.msg}")


UNITS = {"": 1, "ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000, "min": 60000}
SIZES = {"": 1, "KiB": 1024, "MiB": 1 << 20, "GiB": 1 << 30}


def _scaled(text, units):
    number, unit = re.fullmatch(r"(-?\d+)([A-Za-z]*)", str(text)).groups()
    return int(number) * units[unit]


class Conf:
    """A plugin's conf struct, filled from its option table by the rules of plugin.h."""

    def __init__(self, plugin, values):
        self.kept = []
        self.memory = (c.c_uint8 * plugin.conf_size)()
        self.address = c.addressof(self.memory)
        self._table(plugin.options, self.address, dict(values))

    def _table(self, options, base, values):
        i = 0
        while options[i].name:
            option = options[i]
            name = option.name.decode()
            default = option.dflt.decode() if option.dflt else None
            self._store(option, base + option.offset, values.pop(name, default))
            i += 1
        assert not values, f"no such option: {list(values)}"

    def _keep(self, thing):
        self.kept.append(thing)
        return thing

    def _store(self, option, at, value):
        if option.type == GROUP:
            return self._table(option.sub, at, dict(value or {}))
        if option.flags & MANY:
            items = [] if value is None else value if isinstance(value, list) else [value]
            texts = self._keep((c.c_char_p * max(1, len(items)))(*[v.encode() for v in items]))
            target = List.from_address(at)
            target.item, target.n = c.addressof(texts), len(items)
        elif option.type == TEXT:
            c.c_char_p.from_address(at).value = None if value is None else self._keep(value.encode())
        elif option.type == BOOL:
            c.c_bool.from_address(at).value = value in (True, "true")
        elif option.type == CHOICE:
            c.c_int32.from_address(at).value = self._choice(option, value)
        elif option.type == COLUMNS:
            c.c_void_p.from_address(at).value = None if value is None else self._columns(value)
        else:
            units = UNITS if option.type == TIME_MS else SIZES
            number = INT64_MIN if value is None else _scaled(value, units)
            c.c_int64.from_address(at).value = number

    @staticmethod
    def _choice(option, value):
        if value is None:
            return -1
        known, i = [], 0
        while option.choices[i]:
            known.append(option.choices[i].decode())
            i += 1
        return known.index(value)

    def _columns(self, schema):
        exported = self._keep(Schema())
        schema._export_to_c(c.addressof(exported))
        return c.addressof(exported)


def load(kind, name):
    """The descriptor of a built module."""
    library = c.CDLL(str(PLUGINS / kind / name / f"{name}.so"))
    plugin = Plugin.in_dll(library, "mr_plugin_desc")
    assert plugin.size == c.sizeof(Plugin) and plugin.opt_size == c.sizeof(Opt)
    assert plugin.sink.contents.size == c.sizeof(Sink)
    return plugin


class SinkUnderTest:
    """One instance of a sink with a host that notes logs and rejects. Calls raise Failure."""

    def __init__(self, name, schema=None, pipeline="p", stage="s", **options):
        self.plugin = load("sinks", name)
        self.conf = Conf(self.plugin, options)
        self.sink = self.plugin.sink.contents
        if self.plugin.choose:
            self.sink = Sink.from_address(self.plugin.choose(self.conf.address))
        self.logs, self.rejects, self.metrics, self.running = [], [], {}, []
        self.wake_read, self.wake_write = os.pipe()
        self._callbacks = (LOG(self._log), METRIC(self._metric), NOTIFY(lambda _: None),
                           REJECTS(self._reject))
        self.host = Host(1, c.sizeof(Host), None, self.wake_read, *self._callbacks)
        self.pipeline, self.stage = pipeline.encode(), stage.encode()
        self.schema, self.exported = schema, Schema()
        if schema is not None:
            schema._export_to_c(c.addressof(self.exported))
        self.request = Open(c.sizeof(Open), 0, 1, c.pointer(self.host), self.conf.address,
                            c.pointer(self.exported) if schema is not None else None, List(),
                            self.pipeline, self.stage)
        self.self, self.batches, self.kept = None, 0, []

    # ---- the host's side
    def _log(self, _, level, text):
        self.logs.append((level, text.decode()))

    def _metric(self, _, name, lane, value):
        self.metrics[name.decode()] = value

    def _reject(self, _, reject):
        r = reject.contents
        self.running.append((r.batch_id, r.row, r.code.decode(), r.msg.decode(),
                             r.column.decode() if r.column else None))
        return 0

    def _call(self, name, function, *arguments):
        err = Error.fresh()
        self.running = []
        status = function(*arguments, c.byref(err))
        if status < 0:
            raise Failure(name, status, err)
        self.rejects += self.running
        return status

    # ---- the runtime's side
    def validate(self):
        return self._call("validate", self.plugin.validate, self.conf.address)

    def open(self):
        if self.plugin.validate:
            self.validate()
        made = c.c_void_p()
        self._call("open", self.sink.open, c.byref(self.request), c.byref(made))
        self.self = made.value
        return self

    def start(self):
        self._call("start", self.sink.start, self.self)
        return self

    def close(self):
        if self.self:
            self.sink.close(self.self)
            self.self = None
        os.close(self.wake_read)
        os.close(self.wake_write)
        self.wake_read = self.wake_write = -1

    def __enter__(self):
        try:
            return self.open().start()
        except Failure:
            self.close()
            raise

    def __exit__(self, *_):
        if self.wake_read >= 0:
            self.close()

    def found(self, lanes, source="src"):
        marks = (Mark * len(lanes))()
        for mark, (name, at) in zip(marks, lanes.items()):
            mark.source, mark.name = source.encode(), name.encode()
            mark.from_ = mark.upto = Position.of(at)
            mark.owner = 1
        return self._call("found", self.sink.found, self.self, marks, len(lanes))

    def _collector(self):
        got = {}
        self.states = {}  # lane -> bytes, as the last call gave them

        def mark(_, m):
            m = m.contents
            if m.state_len:
                self.states[m.name.decode()] = c.string_at(m.state, m.state_len)
            got[m.name.decode()] = (m.upto.value(), m.owner, m.rows, m.from_.value(), m.run)
        return got, MARK(mark)

    def take(self, lanes, source="src"):
        """lane -> (position, owner, rows, last from, last run)."""
        got, callback = self._collector()
        names = (c.c_char_p * len(lanes))(*[n.encode() for n in lanes])
        self._call("take", self.sink.take, self.self, source.encode(), names, len(lanes), callback,
                   None)
        return got

    def reread(self, unit):
        got, callback = self._collector()
        self._call("reread", self.sink.reread, self.self, c.byref(unit), callback, None)
        return got

    def unit(self, marks, run=1, source="src", states=None):
        """marks: lane -> (from, upto, owner, rows); states: lane -> bytes."""
        array = (Mark * max(1, len(marks)))()
        for mark, (name, (at, upto, owner, rows)) in zip(array, marks.items()):
            mark.source, mark.name = source.encode(), name.encode()
            mark.from_, mark.upto = Position.of(at), Position.of(upto)
            mark.owner, mark.rows, mark.run = owner, rows, run
            state = (states or {}).get(name, b"")
            mark.state, mark.state_len = c.cast(c.c_char_p(state or None), c.c_void_p), len(state)
        made = Unit(c.sizeof(Unit), len(marks), run, self.pipeline, self.stage, b"label", array)
        made.keep = array, states
        return made

    def begin(self, unit=None):
        self._call("begin", self.sink.begin, self.self, unit or self.unit({}))

    def batch(self, rows):
        """A pyarrow.RecordBatch (slices too) as the runtime lends it; kept until close."""
        self.batches += 1
        schema, made = Schema(), Batch(c.sizeof(Batch), 0)
        rows._export_to_c(c.addressof(made.rows), c.addressof(schema))
        made.schema, made.id = c.pointer(schema), self.batches
        self.kept.append((schema, made, rows))
        return made

    def write(self, rows):
        made = rows if isinstance(rows, Batch) else self.batch(rows)
        self._call("write", self.sink.write, self.self, c.byref(made))
        return made.id

    def flush(self):
        if self.sink.flush:
            self._call("flush", self.sink.flush, self.self)

    def commit(self, unit):
        self._call("commit", self.sink.commit, self.self, c.byref(unit))

    def abort(self, unit=None):
        self._call("abort", self.sink.abort, self.self, unit or self.unit({}))

    def seal(self, unit=None):
        """The bytes of an idempotent sink's unit."""
        parts = []

        def put(_, data, n):
            parts.append(c.string_at(data, n))
            return 0
        status = self._call("seal", self.sink.seal, self.self, c.byref(unit or self.unit({})),
                            PUT(put), None)
        self.to_keep = status == OK
        return b"".join(parts)

    def send(self, block, token="label"):
        self._call("send", self.sink.send, self.self, token.encode(), block, len(block))

    def evolve(self, schema):
        exported = Schema()
        schema._export_to_c(c.addressof(exported))
        self.kept.append(exported)
        self._call("evolve", self.sink.evolve, self.self, c.byref(exported))

    def wake(self):
        os.write(self.wake_write, b"x")

    def unwake(self):
        os.read(self.wake_read, 1)

    def _text(self, function, *arguments):
        parts = []

        def put(_, data, n):
            parts.append(c.string_at(data, n))
            return 0
        self._call("check", function, c.byref(self.request), *arguments, PUT(put), None)
        return b"".join(parts).decode()

    def check(self):
        return self._text(self.plugin.check)

    def ddl(self):
        """The statement that would make the table, and the types of its columns."""
        return self._text(CHECK(self.plugin.ddl))

    def discover(self, table=None):
        return self._text(self.plugin.discover, table.encode() if table else None)

    # ---- short ways
    def insert(self, *rows, token="label"):
        """One unit of an idempotent sink; gives its block."""
        self.begin()
        for each in rows:
            self.write(each)
        block = self.seal()
        self.send(block, token)
        return block

    def put(self, rows, at=0, owner=1, lane="0", run=1):
        """One unit of one lane: rows of this batch, position at -> at + rows."""
        upto = at + rows.num_rows
        unit = self.unit({lane: (at, upto, owner, rows.num_rows)}, run)
        self.begin(unit)
        self.write(rows)
        self.commit(unit)
        return upto


def batch(schema, rows):
    """A record batch from a list of tuples."""
    columns = list(zip(*rows)) if rows else [[] for _ in schema]
    return pa.record_batch([pa.array(list(v), f.type) for v, f in zip(columns, schema)],
                           schema=schema)


def halve(s, record, first, dead):
    """What the engine does with a batch that is refused: the row that is named, or each half."""
    if record.num_rows == 0:
        return
    known = len(s.rejects)
    try:
        s.write(record)
        s.flush()
        dead += [first + r[1] for r in s.rejects[known:]]
        return
    except Failure as f:
        assert f.status == REJECT and not f.unit_lost, f
        row = f.row if f.row >= 0 else 0 if record.num_rows == 1 else -1
    if row >= 0:
        dead.append(first + row)
        halve(s, record.slice(0, row), first, dead)
        halve(s, record.slice(row + 1), first + row + 1, dead)
    else:
        middle = record.num_rows // 2
        halve(s, record.slice(0, middle), first, dead)
        halve(s, record.slice(middle), first + middle, dead)

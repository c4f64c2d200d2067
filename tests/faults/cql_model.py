# SPDX-License-Identifier: Apache-2.0
"""What a table holds once events of the commit log were applied to it: last write wins by write
timestamp, cell by cell, as in Cassandra."""

import uuid

from faults import cql_values
from faults.cql_statements import is_multi
from faults.cql_values import order

NEVER = -2**63


def canonical(t, v):
    return cql_values.canonical(t, v, cql_values.OF_LOG)


def place(path):
    """Elements of a list are in the order of their time UUIDs."""
    u = uuid.UUID(path)
    return u.time, [b - 256 if b > 127 else b for b in u.bytes[8:]]


class Cells:
    """The columns of one row, or a partition's static ones."""

    def __init__(self):
        self.simple, self.cleared, self.elements = {}, {}, {}

    @staticmethod
    def write(cells, key, timestamp, value):
        """Later wins; of one moment a deletion (None) wins."""
        old = cells.get(key)
        if old is None or timestamp > old[0] or (timestamp == old[0] and value is None):
            cells[key] = (timestamp, value)

    def apply(self, cell, timestamp, t):
        timestamp = cell.get("timestamp", timestamp)
        column = cell["column"]
        if cell.get("cleared"):
            self.cleared[column] = max(timestamp, self.cleared.get(column, NEVER))
        elif "path" in cell:
            elements = self.elements.setdefault(column, {})
            dead = cell.get("deleted") or (cell.get("value") is None and t[0] != "set")
            self.write(elements, str(cell["path"]), timestamp, None if dead else (cell["path"], cell.get("value")))
        else:
            dead = cell.get("deleted") or cell["value"] is None
            self.write(self.simple, column, timestamp, None if dead else (cell["value"], cell.get("ttl")))

    def value(self, column, t, deleted):
        """What SELECT shows; deleted: what was written up to then is gone."""
        if not is_multi(t):
            timestamp, value = self.simple.get(column, (NEVER, None))
            return canonical(t, value[0]) if value and timestamp > deleted else None
        after = max(deleted, self.cleared.get(column, NEVER))
        live = [v for timestamp, v in self.elements.get(column, {}).values() if v and timestamp > after]
        return self.collection(t, live) if live else None

    @staticmethod
    def collection(t, live):
        if t[0] == "list":
            return tuple(canonical(t[1], v) for _, v in sorted(live, key=lambda e: place(e[0])))
        if t[0] == "set":
            return frozenset(canonical(t[1], path) for path, _ in live)
        if t[0] == "map":
            return frozenset((canonical(t[1], path), canonical(t[2], v)) for path, v in live)
        return canonical(t, dict(live))

    def written(self, column, deleted):
        """(WRITETIME, TTL was given) of a simple column; None: no value."""
        timestamp, value = self.simple.get(column, (NEVER, None))
        return (timestamp, value[1] is not None) if value and timestamp > deleted else None


class Row:
    def __init__(self):
        self.inserted, self.deleted, self.cells = NEVER, NEVER, Cells()


class Partition:
    def __init__(self):
        self.deleted, self.static, self.rows, self.ranges = NEVER, Cells(), {}, []


class Model:
    """One table. types: the specification of faults.cql_statements."""

    def __init__(self, table):
        self.table, self.partitions = table, {}
        self.clustering = list(table.clustering)

    def values(self, columns, given):
        types = self.table.types()
        return tuple(canonical(types[c], given[c]) for c in columns if c in given)

    def apply(self, e):
        partition = self.partitions.setdefault(self.values(self.table.key, e["key"]), Partition())
        op, timestamp = e["op"], e["timestamp"]
        if op == "delete_partition":
            partition.deleted = max(partition.deleted, timestamp)
            return
        if op == "delete_range":
            partition.ranges.append((e["start"], e["end"], timestamp))
            return
        row = None
        if not e.get("static"):
            row = partition.rows.setdefault(self.values(self.clustering, e.get("clustering", {})), Row())
        if op == "delete_row":
            row.deleted = max(row.deleted, timestamp)
            return
        if op == "insert":
            row.inserted = max(row.inserted, timestamp)
        cells = row.cells if row else partition.static
        types = self.table.types()
        for cell in e["cells"]:
            if cell["column"] in types and not cell.get("dropped"):
                cells.apply(cell, timestamp, types[cell["column"]])

    def side(self, clustering, bound):
        """< 0, 0, > 0: the row is before the bound's prefix, in it, behind it, in storage order."""
        for column, v in zip(self.clustering, clustering):
            if column not in bound["clustering"]:
                break
            t = self.table.clustering[column]
            a, b = order(t, v), order(t, canonical(t, bound["clustering"][column]))
            if a != b:
                return (-1 if a < b else 1) * (-1 if column in self.table.descending else 1)
        return 0

    def is_within(self, clustering, start, end):
        first, last = self.side(clustering, start), self.side(clustering, end)
        return ((first > 0 or (first == 0 and (start["inclusive"] or not start["clustering"])))
                and (last < 0 or (last == 0 and (end["inclusive"] or not end["clustering"]))))

    def deleted(self, partition, clustering, row):
        times = [timestamp for start, end, timestamp in partition.ranges
                 if self.is_within(clustering, start, end)]
        return max([partition.deleted, row.deleted, *times])

    def partition_rows(self, key, partition):
        t = self.table
        static = tuple(partition.static.value(c, x, partition.deleted) for c, x in t.static.items())
        found = False
        for clustering, row in partition.rows.items():
            deleted = self.deleted(partition, clustering, row)
            values = tuple(row.cells.value(c, x, deleted) for c, x in t.columns.items())
            if row.inserted > deleted or any(v is not None for v in values):
                found = True
                times = tuple(None if is_multi(x) or t.counter else row.cells.written(c, deleted)
                              for c, x in t.columns.items())
                yield key + clustering, static + values, times
        if not found and any(v is not None for v in static):
            yield (key + (None,) * len(t.clustering), static + (None,) * len(t.columns),
                   (None,) * len(t.columns))

    def rows(self):
        """key -> (values of static and other columns, (WRITETIME, TTL was given) of simple ones)."""
        return {k: (values, times) for key, partition in self.partitions.items()
                for k, values, times in self.partition_rows(key, partition)}

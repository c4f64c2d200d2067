# SPDX-License-Identifier: Apache-2.0
"""The trades that tests and benches send: row i is a function of i, about 203 bytes of JSON."""

FIELDS = ("trade_id", "match_seq", "price", "quantity", "buy_user_id", "sell_user_id",
          "buy_order_id", "sell_order_id", "timestamp")

TEMPLATE = "{" + ",".join(f'"{f}":%d' for f in FIELDS) + "}"

FIRST_TRADE = 1_000_000_000
FIRST_MATCH = 70_000_000_000
FIRST_ORDER = 20_000_000_000
START_MS = 1_769_594_400_000
MIX = 2_654_435_761


def row(i):
    """The values of trade i, in the order of FIELDS."""
    mixed = (i * MIX) & 0xFFFFFFFF
    return (FIRST_TRADE + i, FIRST_MATCH + 3 * i, 100_000 + mixed % 800_000, 100 + mixed % 900,
            1_000_000 + mixed % 5_000_000, 1_000_000 + (mixed >> 5) % 5_000_000,
            FIRST_ORDER + 2 * i, FIRST_ORDER + 2 * i + 1, START_MS + i)


def message(i):
    """Trade i as the bytes of one JSON object."""
    return (TEMPLATE % row(i)).encode()


def array(first, count):
    """Trades first..first+count-1 as one JSON array."""
    return b"[" + b",".join(message(i) for i in range(first, first + count)) + b"]"


def messages(count, first=0):
    return (message(i) for i in range(first, first + count))


def keyed(count, keys, first=0):
    """Messages with a key and partitioned by it, for upserts: i's trade_id is its key."""
    for i in range(first, first + count):
        key = i % keys
        values = (FIRST_TRADE + key, *row(i)[1:])
        yield {"key": str(FIRST_TRADE + key).encode(), "value": (TEMPLATE % values).encode()}


def columns_yaml(indent, kind="int64"):
    """The block of `columns:` for a pipeline file, each of one type."""
    return "".join(f"{' ' * indent}{f}: {kind}\n" for f in FIELDS)


def table_sql(name, key=False, kind="bigint"):
    """CREATE TABLE for the trades, with trade_id as primary key on request."""
    columns = [f'"{f}" {kind} NOT NULL' for f in FIELDS]
    if key:
        columns.append("PRIMARY KEY (trade_id)")
    return f"CREATE TABLE {name} ({', '.join(columns)})"


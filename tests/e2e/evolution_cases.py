# SPDX-License-Identifier: Apache-2.0
"""Schema changes of a source table while its pipeline runs, and what every sink makes of them.

A case has a source table, steps (statements on it, each step one transaction), options of the sink, and
what must be there in the end: columns, rows, dead letters, or the reason why the table was stopped. Values
are as the source has them; where a sink keeps another form, its adapter says so. `unless` holds what is
other for one sink. Rows of the first step have the numbers 1 to 8, of the next one 11 to 18, and so on.
"""

import dataclasses

FULL, ADD, NONE = "full", "add", "none"
DROP = {"drop_columns": "true"}


@dataclasses.dataclass
class Case:
    name: str
    evolve: str
    columns: str                 # of the source, behind "id bigint PRIMARY KEY"
    steps: list                  # of [statement, …]; {t} is the table
    rows: dict                   # id -> {column: value}; a column that is missing is not looked at
    options: dict = dataclasses.field(default_factory=dict)
    types: dict = dataclasses.field(default_factory=dict)      # column -> pipeline type, None: none such
    letters: list = dataclasses.field(default_factory=list)    # (id, column, pipeline type it brings)
    stops: str = ""              # what the reason says
    says: str = ""               # a line of the log
    counts: str = ""             # a metric that is 1 or more
    target: str = ""             # columns of a target that is there already, as pipeline types
    unless: dict = dataclasses.field(default_factory=dict)     # sink -> fields that are other

    def for_sink(self, sink):
        fields = self.unless.get(sink.removesuffix("18"), {}) | self.unless.get(sink, {})
        return dataclasses.replace(self, **fields)


def put(*values):
    """One row, written by position."""
    return "INSERT INTO {t} VALUES (" + ", ".join(values) + ")"


ADDS = [
    Case("plain", ADD, "k int", [[put("1", "1")], ["ALTER TABLE {t} ADD v text", put("12", "2", "'x'")]],
         {1: {"k": 1, "v": None}, 12: {"k": 2, "v": "x"}}, types={"v": "utf8"},
         says="added column v", counts="columns_added_total"),
    Case("with_default", ADD, "k int", [[put("1", "1")],
         ["ALTER TABLE {t} ADD v int DEFAULT 7", "INSERT INTO {t} (id, k) VALUES (12, 2)"]],
         {1: {"v": None}, 12: {"v": 7}}, types={"v": "int32"}),
    Case("several", ADD, "k int", [[put("1", "1")],
         ["ALTER TABLE {t} ADD a int, ADD b text, ADD c double precision", put("12", "2", "3", "'b'", "0.5")]],
         {1: {"a": None, "b": None, "c": None}, 12: {"a": 3, "b": "b", "c": 0.5}},
         types={"a": "int32", "b": "utf8", "c": "float64"}),
    Case("a_list", ADD, "k int", [[put("1", "1")],
         ["ALTER TABLE {t} ADD v int[]", put("12", "2", "'{1,2,NULL}'")]],
         {1: {"k": 1}, 12: {"v": [1, 2, None]}}, types={"v": "list<int32>"},
         unless={"clickhouse": {"options": {"nulls": "default"}}}),  # an Array is never null
    Case("there_already", ADD, "k int", [[put("1", "1")], ["ALTER TABLE {t} ADD v text", put("12", "2", "'x'")]],
         {1: {"v": None}, 12: {"v": "x"}}, target="id int64, k int32, v utf8"),
    Case("left_out", NONE, "k int", [[put("1", "1")], ["ALTER TABLE {t} ADD v text", put("12", "2", "'x'")]],
         {1: {"k": 1}, 12: {"k": 2}}, types={"v": None}, says="left out (evolve: none): v"),
]

BIG = str(2 ** 40)
TYPES = [
    Case("int_to_bigint", FULL, "v int", [[put("1", "1")],
         ["ALTER TABLE {t} ALTER v TYPE bigint", put("12", BIG)]],
         {1: {"v": 1}, 12: {"v": 2 ** 40}}, types={"v": "int64"},
         says="is widened for int64", counts="columns_widened_total",
         unless={"sqlite": {"says": "", "counts": ""}}),
    Case("smallint_to_int", FULL, "v smallint", [[put("1", "1")],
         ["ALTER TABLE {t} ALTER v TYPE int", put("12", "70000")]],
         {1: {"v": 1}, 12: {"v": 70000}}, types={"v": "int32"}),
    Case("real_to_double", FULL, "v real", [[put("1", "0.5")],
         ["ALTER TABLE {t} ALTER v TYPE double precision", put("12", "0.1")]],
         {1: {"v": 0.5}, 12: {"v": 0.1}}, types={"v": "float64"}),
    Case("more_digits", FULL, "v numeric(6,2)", [[put("1", "1.25")],
         ["ALTER TABLE {t} ALTER v TYPE numeric(12,2)", put("12", "3.50"), put("13", "1234567.25")]],
         {1: {"v": "1.25"}, 12: {"v": "3.50"}, 13: {"v": "1234567.25"}}, types={"v": "decimal(12,2)"},
         # what a version makes of DECIMAL is not the same for all: it stays
         unless={"starrocks": {"rows": {1: {"v": "1.25"}, 12: {"v": "3.50"}}, "types": {"v": "decimal(6,2)"},
                               "letters": [(13, "v", "decimal(12,2)")]}}),
    Case("narrower", FULL, "v bigint", [[put("1", BIG)],
         ["DELETE FROM {t}", "ALTER TABLE {t} ALTER v TYPE int", put("12", "5")]],
         {1: {"v": 2 ** 40}, 12: {"v": 5}}, types={"v": "int64"}),
    Case("not_widened", ADD, "v int", [[put("1", "1")],
         ["ALTER TABLE {t} ALTER v TYPE bigint", put("12", BIG), put("13", "3")]],
         {1: {"v": 1}, 13: {"v": 3}}, types={"v": "int32"}, letters=[(12, "v", "int64")],
         unless={"sqlite": {"rows": {1: {"v": 1}, 12: {"v": 2 ** 40}, 13: {"v": 3}}, "letters": []}}),
    Case("int_to_text", FULL, "v int, w int", [[put("1", "1", "1")],
         ["ALTER TABLE {t} ALTER v TYPE text", put("12", "'twelve'", "2"), put("13", "NULL", "3")]],
         {1: {"v": 1}, 13: {"v": None, "w": 3}}, types={"v": "int32"}, letters=[(12, "v", "utf8")],
         says="such rows are refused", counts="columns_unfit_total",
         unless={"postgres": {"says": "", "counts": ""}}),  # the server reads numbers from text
    Case("text_to_int", FULL, "v text", [[put("1", "'a'")],
         ["DELETE FROM {t}", "ALTER TABLE {t} ALTER v TYPE int USING 5", put("12", "5")]],
         {1: {"v": "a"}, 12: {"v": "5"}}, types={"v": "utf8"}),
    Case("date_to_bool", FULL, "v date, w int", [[put("1", "'2020-02-29'", "1")],
         ["ALTER TABLE {t} ALTER v TYPE boolean USING true", put("12", "true", "2"), put("13", "NULL", "3")]],
         {1: {"w": 1}, 13: {"w": 3, "v": None}}, types={"v": "date"}, letters=[(12, "v", "bool")],
         unless={"sqlite": {"rows": {12: {"v": "true"}, 13: {"v": None}}, "letters": []}}),  # a TEXT column
]

GONE = [["ALTER TABLE {t} DROP v", put("12", "2")]]
DROPS = [
    Case("plain_drop", ADD, "k int, v text", [[put("1", "1", "'x'")], *GONE],
         {1: {"k": 1, "v": "x"}, 12: {"k": 2, "v": None}}, types={"v": "utf8"},
         says="has no column v any more", counts="columns_gone_total"),
    Case("drop_without_policy", NONE, "k int, v text", [[put("1", "1", "'x'")], *GONE],
         {1: {"v": "x"}, 12: {"k": 2, "v": None}}, types={"v": "utf8"}, says="has no column v any more"),
    Case("several_dropped", ADD, "k int, v text, w int", [[put("1", "1", "'x'", "1")],
         ["ALTER TABLE {t} DROP v, DROP w", put("12", "2")]],
         {1: {"v": "x", "w": 1}, 12: {"k": 2, "v": None, "w": None}}, types={"v": "utf8", "w": "int32"}),
    Case("dropped_there_too", FULL, "k int, v text", [[put("1", "1", "'x'")], *GONE],
         {1: {"k": 1}, 12: {"k": 2}}, options=DROP, types={"v": None}, says="is dropped",
         counts="columns_dropped_total"),
    Case("kept_by_full", FULL, "k int, v text", [[put("1", "1", "'x'")], *GONE],
         {1: {"v": "x"}, 12: {"k": 2, "v": None}}, types={"v": "utf8"}),
    Case("comes_back", ADD, "k int, v text", [[put("1", "1", "'x'")], *GONE,
         ["ALTER TABLE {t} ADD v text", put("23", "3", "'y'")]],
         {1: {"v": "x"}, 12: {"v": None}, 23: {"k": 3, "v": "y"}}, types={"v": "utf8"}),
    Case("one_for_another", ADD, "k int, v text", [[put("1", "1", "'x'")],
         ["ALTER TABLE {t} DROP v, ADD w int", put("12", "2", "5")]],
         {1: {"v": "x", "w": None}, 12: {"v": None, "w": 5}}, types={"v": "utf8", "w": "int32"}),
    Case("renamed", FULL, "k int, v text", [[put("1", "1", "'x'")],
         ["ALTER TABLE {t} RENAME v TO w", put("12", "2", "'y'")]],
         {1: {"v": "x"}}, types={"v": "utf8", "w": None}, stops="column v of the input is called w now"),
    Case("key_dropped", FULL, "k int, v text", [[put("1", "1", "'x'")],
         ["ALTER TABLE {t} DROP k", "INSERT INTO {t} (id, v) VALUES (12, 'y')"]],
         {1: {"k": 1, "v": "x"}}, options={"mode": "upsert", "key": "[k]"}, stops="the input has no column k any more, a key column"),
]

CASES = [*ADDS, *TYPES, *DROPS]
